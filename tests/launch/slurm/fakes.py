"""Slurm's commands as shell lines that answer for it."""

from __future__ import annotations

import os
from pathlib import Path


def commands_on_path(folder: Path, **lines: str) -> str:
    """A PATH that begins with these commands; each notes in `folder`/asked what it was asked, then runs its line."""
    folder.mkdir()
    for name, line in lines.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/asked\n{line}\n')
        path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
