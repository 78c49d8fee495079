"""What a job starts in place of Python itself: `python -m bench.launch.slurm.start -u -m submitit.core._submit FOLDER`.

submitit unpickles, and so executes, what lies in the submission's folder. That is refused where another user could have
put it there.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.launch.slurm.job import job_id
from bench.store import StoreError, refuse_foreign


def main(words: Sequence[str]) -> int:
    """Does what `python -u -m MODULE FOLDER` would do, or says in one line why not."""
    *_, module, folder = words
    pickle = Path(folder) / f"{job_id()}_submitted.pkl"
    try:
        # a job may start before its pickle is in place; what comes later into a folder of our own is ours
        refuse_foreign(Path(folder), *([pickle] if pickle.exists() else ()))
    except StoreError as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    sys.argv[1:] = [folder]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
