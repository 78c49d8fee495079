"""The commands for Slurm of all pages, typed on its login node; that jobs run is what the other tests show."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest

from tests.pages import Block, blocks, furnish, type_in
from tests.slurm.shell import Shell


@pytest.mark.parametrize("block", blocks("slurm"), ids=str)
def test_commands_for_slurm_do_what_they_say(block: Block, shell: Shell) -> None:
    furnish(shell.project, "d" * 64)

    with patch.dict(os.environ, shell.environment, clear=True):
        assert {line: code for line in block.commands if (code := type_in(line))} == {}
