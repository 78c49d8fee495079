"""Set before torch is imported, as its threads read it then."""

import os

# two workers whose nets have two threads share two cores: one that waits spins for most of its time
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
