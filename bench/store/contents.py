"""Which files make up a run: what is packed of its folder. Standard library only."""

from __future__ import annotations

import fnmatch

MANIFEST = ("manifest.json", "manifest.json.sig", "manifest.json.tsr")  # and its signature and time stamp
TESTS = "test-*.json"  # of a run that is done, on further test sets
# what a run is, without its lock, signs of life and logs; in the order in which it may come into a folder
CONTENTS = (
    *("run.json", "net.py", "task.py", "declared.json", "predicted.json", "inputs.json", "again.json", "scores-*.pt"),
    *("curve.jsonl", "layers.jsonl", "checkpoint.pt"),
    *("error.json", "ensemble.npz", "hardest.png", "matches.npz", "found.npz", "detections.png"),
    *(TESTS, "env.json", *MANIFEST, "result.json"),
)
ONLY_DONE, ONLY_UNDONE = (TESTS, "env.json", *MANIFEST, "result.json"), ("scores-*.pt", "error.json")


def is_content(name: str) -> bool:
    """Whether a file of this name is part of a run."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in CONTENTS)
