"""The only code that knows file names: run folders, atomic writes, locks, and a run's state derived from them.

    runs/<sweep>/<run id>/
        run.json         the Run, written first
        declared.json    the digest of the claims as they stood when the run was last started
        inputs.json      the digests of the data and the start weights that the run was begun with
        again.json       what the run was begun with that this one takes the place of (--again)
        predicted.json   what the plan said it takes, where it knew a speed
        lock             held (flock) by the one process that trains, the first where a run has several
        heartbeat.json   step, loss, speed, about once a second while training
        curve.jsonl      a row a training window
        layers.jsonl     a row a layer and step at which the layers were looked at
        checkpoint.pt    the last resumable state; after the run, the trained net without momentum
        checkpoint.previous.pt  the one before, until the run is done
        error.json       why the run failed or stopped; gone when it is resumed
        env.json         provenance: commit, versions, instruction set, hardware, data digest, dates
        manifest.json    the digests of what the number depends on, and of what the run left (manifest.py)
        result.json      written last: it is there if and only if the run is done
        test-NAME.json   what the net found on a further test set, once the run was done (further.py)
        log/             what the last starts printed

Beside them register.jsonl says which runs were started and how each start ended (register.py), register-*.jsonl the
same of other machines whose runs are here. slurm/ has what was submitted, code/ what the jobs run (both private:
private.py), crew-*.log what crews on a GPU wrote, sweep.log what a start in the background did; lock shows whether the
file system has locks, .lock is held by who writes to the register. What of all this no start needs any more:
leftovers.py. Standard library only.
"""

from bench.store.contents import is_content
from bench.store.files import (
    StoreError,
    atomic,
    curve_text,
    file_digest,
    make_folder,
    read_json,
    sha256,
    write_bytes,
    write_json,
    write_text,
)
from bench.store.inputs import Inputs
from bench.store.lock import BusyError, exclusive
from bench.store.logs import KEPT_STARTS, delete, forget_starts, open_log
from bench.store.private import make_private, refuse_foreign
from bench.store.run_folder import RunFolder, all_folders, folders
from bench.store.submission import Rendezvous, Submission, forget_submissions, submissions

__all__ = [
    "KEPT_STARTS", "BusyError", "Inputs", "Rendezvous", "RunFolder", "StoreError", "Submission", "all_folders",
    "atomic", "curve_text", "delete", "exclusive", "file_digest", "folders", "forget_starts", "forget_submissions",
    "is_content", "make_folder", "make_private", "open_log", "read_json", "refuse_foreign", "sha256", "submissions",
    "write_bytes", "write_json", "write_text",
]  # fmt: skip
