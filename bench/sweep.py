"""`python -m bench.sweep`."""

import sys

from bench.cli.sweep import main

if __name__ == "__main__":
    sys.exit(main())
