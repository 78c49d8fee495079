"""The speeds that results/speed/ keeps, as `bench speed … --json` wrote them: a paragraph and tables for each file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report.tables import Table
from bench.spec import Net, Way
from bench.store import StoreError, read_json

NONE = "None is kept yet: `python -m bench speed --json results/speed/NAME.json` keeps one."
ABOUT = (
    "[{file}]({folder}/{file}): {machine}; torch {torch}, Python {python}, resnet-bench {bench}, commit "
    "{commit}{dirty}, {date}.\n`{command}`"
)


def rates(values: Sequence[float]) -> str:
    """Median, lowest and highest: `202 (195–210)`."""
    return "{} ({}–{})".format(*map(rate, values))


def rate(value: float) -> str:
    """`1,203`, `9.87`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def kept_speeds(folder: Path, link: str) -> str:
    """All files in `folder`. link: to it, from the page. Raises StoreError where a file is damaged."""
    return "\n\n".join(_of_file(path, link) for path in sorted(folder.glob("*.json"))) or NONE


def _of_file(path: Path, link: str) -> str:
    kept = read_json(path)
    try:
        dirty = " with uncommitted changes" if kept["dirty"] else ""
        about = {**kept, "dirty": dirty, "commit": str(kept["commit"] or "unknown")[:10]}
        parts = [ABOUT.format(file=path.name, folder=link, **about)]
        return "\n\n".join(parts + [TABLES[name](kept[name]).markdown() for name in TABLES if kept.get(name)])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path} is no file of `bench speed --json`: {type(error).__name__}: {error}") from None


def _timings(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = ("what", "unit", "reference", "ours", "reference's", "ratio of speeds")
    spreads = ("ours", "reference", "ratio")
    cells = [(r["name"], f"{r['unit']}/s", r["beside"], *(rates(r[name]) for name in spreads)) for r in rows]
    return Table(header, cells, text=3)


def _limits(nets: Mapping[str, Mapping[str, float]]) -> Table:
    header = ("net", "GFLOP/s, fp32 products", "a step by arithmetic, ms", "GB/s, copying", "a step by traffic, ms")
    keys = (("gflop_per_s", 1), ("arithmetic_s", 1e3), ("gb_per_s", 1), ("traffic_s", 1e3))
    return Table(header, [(net, *(f"{one[key] * by:.3g}" for key, by in keys)) for net, one in nets.items()])


def _growth(counts: Mapping[str, Mapping[str, float]]) -> Table:
    works = list(next(iter(counts.values())))
    rows = [(f"{int(count):,}", *(f"{seconds[work]:.2f}" for work in works)) for count, seconds in counts.items()]
    return Table(("runs", *(f"{work}, s" for work in works)), rows, text=0)


def _together(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = ("net", "precision", "at once", "threads each", "images/s in all", "GiB a run")
    cells = [
        (r["net"], r["precision"], str(r["at_once"]), str(r["threads"]), rate(r["images_per_s"]),
         f"{r['peak_memory_gib']:.2f}") for r in rows
    ]  # fmt: skip
    return Table(header, cells, text=2)


def _settings(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = ("net", "precision", "way", "images/s, by round", "beside compiled", "beside the usual loop")
    cells = [
        (r["net"], r["precision"], r["way"], ", ".join(map(rate, r["rates"])), _times(r["compiled"]),
         _times(r["usual"])) for r in rows
    ]  # fmt: skip
    return Table(header, cells, text=3)


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _agreement(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = ("net", "precision", "seed", "loss of a step", "update of a step", "test error %", "plain path's")
    cells = [
        (r["net"], r["precision"], str(r["seed"]), f"{r['loss']:.0e}", f"{r['update']:.1e}",
         f"{r['fast_error']:.2f}", f"{r['plain_error']:.2f}") for r in rows
    ]  # fmt: skip
    return Table(header, cells, text=2)


def _checks(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = [(r["name"], "right" if r["passed"] else "**WRONG**", r["words"]) for r in rows]
    return Table(("check", "outcome", "how far apart"), cells, text=3)


def _convolutions(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = ("convolution", "kind", "forward, ms", "gradient of inputs, ms", "of weights, ms")
    cells = [(r["name"], r["kind"], *(f"{r[part]:.3f}" for part in ("forward", "inputs", "weights"))) for r in rows]
    return Table(header, cells, text=2)


def _steps(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = [(Net(**r["net"]).name, r["precision"], str(Way(**r["way"])), f"{r['milliseconds']:.2f}") for r in rows]
    return Table(("net", "precision", "way", "a step, ms"), cells, text=3)


def _crews(gains: Mapping[str, float]) -> Table:
    return Table(("runs in a crew", "times one at a time"), [(n, f"{gain:.2f}") for n, gain in gains.items()], text=0)


def _left_out(reasons: Sequence[str]) -> Table:
    return Table(("left out",), [(reason,) for reason in reasons])


TABLES: Mapping[str, Callable[[Any], Table]] = {
    "timings": _timings,
    "limits": _limits,
    "growth": _growth,
    "together": _together,
    "settings": _settings,
    "agreement": _agreement,
    "checks": _checks,
    "convolutions": _convolutions,
    "rates": _steps,
    "gains": _crews,
    "failed": _left_out,
}
