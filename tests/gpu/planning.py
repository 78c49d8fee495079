"""Which nets a campaign trains: those that end in the seconds left, by the speeds that the first call measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SHARES = ((1.0, (20, 32, 44, 56, 110)), (0.58, (20, 32, 44, 56)), (0.37, (20, 32, 44)), (0.0, (20,)))  # of ten nets
SAFE = 0.85  # of the seconds left that may be planned


@dataclass(frozen=True, slots=True)
class Speeds:
    """What `bench speed gpu` found: seconds for one seed of the ten nets, so many at once."""

    seconds_a_seed: float
    at_once: int


@dataclass(frozen=True, slots=True)
class Round:
    """A start of the sweep: depths (none: all nets, the longest first), runs at once, --kernels ("": as measured)."""

    depths: tuple[int, ...] = ()
    at_once: int = 1
    kernels: str = ""

    def options(self) -> list[str]:
        """For bench.sweep."""
        nets = [name for depth in reversed(self.depths) for name in (f"plain-{depth}", f"resnet-{depth}-A")]
        only = ["--only", ",".join(nets)] if nets else []
        return [*only, "--at-once", str(self.at_once), *(["--kernels", self.kernels] if self.kernels else [])]


PLAIN = Round((20,), kernels="eager")  # what is left where nothing quicker is known to work


def read_speeds(path: Path) -> Speeds | None:
    """What was measured; None where there is no such file or it does not say."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        speeds = Speeds(float(value["seconds_a_seed"]), int(value["at_once"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return speeds if speeds.seconds_a_seed > 0 and speeds.at_once > 0 else None


def choose(seconds: float, speeds: Speeds | None) -> Round:
    """The nets that end within so many seconds.

    Only they train at first: a net of 110 layers beside them would take its share of the device from each.
    """
    if speeds is None:
        return PLAIN
    depths = next(nets for share, nets in SHARES if share * speeds.seconds_a_seed <= SAFE * seconds)
    return Round(() if len(depths) == len(SHARES[0][1]) else depths, min(speeds.at_once, 2 * len(depths)))
