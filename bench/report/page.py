"""A sweep's report as a page of markdown: a function of the committed results and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bench.report import figures, frame, tables, verdicts
from bench.report.frame import Set
from bench.spec import Sweep
from bench.store import make_folder, write_text

SCALE_WORDS = {
    "paper": "the paper's schedule",
    "short": "an eighth of the paper's steps: not to be compared with the paper's numbers",
    "quick": "a few minutes' look at the claim's shape: not to be compared with the paper's numbers",
}
MIXED = {
    "commits": "commit", "hardware": "hardware", "data": "data_sha256", "torch versions": "torch",
    "Python versions": "python", "thread counts": "threads", "process counts": "processes",
}  # fmt: skip
FIGURE_6 = (
    "Error against iterations in the manner of the paper's Fig. 6: plain nets left, residual nets right; dashed the "
    "training error (augmented batches, in training mode), bold the test error; mean over the seeds, and a band from "
    "the lowest to the highest seed where there are several."
)


def write_report(
    name: str, sweep: Sweep, results: Path, reports: Path, focus: tuple[str, str] | None = None
) -> Path | None:
    """Writes a page for every set in `results`; the best one is README.md. Returns the page of `focus`.

    focus: (scale, data), the best set where it is None. None where no run of it has ended yet.
    Raises StoreError where the results cannot be read.
    """
    sets = frame.load(results, sweep)
    if not sets:
        return None
    make_folder(reports)
    pages = frame.page_names(sets)
    for one in sets:
        if len(one.done):
            figures.curves(one, reports / f"curves-{one.label}.svg")
        others = [(s.label, pages[s.scale, s.data]) for s in sets if s is not one]
        write_text(reports / pages[one.scale, one.data], page(name, sweep, one, others))
    wanted = pages.get(focus or (sets[0].scale, sets[0].data))
    return reports / wanted if wanted else None


def page(name: str, sweep: Sweep, results: Set, others: Iterable[tuple[str, str]] = ()) -> str:
    """The markdown of one set."""
    sections = [
        f"# {title(sweep, results)}",
        what_ran(name, results),
        f"**Question.** {sweep.question}",
        f"**The paper's claim.** {sweep.claim}",
        "## What the numbers say",
        findings(results),
        *verdicts.claims_section(sweep.claims, results),
        "## Table 6",
        tables.table6(results.runs),
        caption(results),
        *verdicts.paired_section(results),
    ]
    if len(results.done):
        sections += [
            "## Figure 6",
            f"![Training and test error against iterations](curves-{results.label}.svg)",
            FIGURE_6,
        ]
    sections += [
        "## Deviations from the paper",
        bullets((*sweep.scales[results.scale].deviations, *sweep.deviations)),
        "## Provenance",
        provenance(results),
    ]
    links = ", ".join(f"[{label}]({path})" for label, path in others)
    if links:
        sections.append(f"Other scales of this sweep: {links}.")
    return "\n\n".join(sections) + "\n"


def title(sweep: Sweep, results: Set) -> str:
    """The sweep's title; a stand-in and a scale that is not the paper's are said in it."""
    if results.data == "stand-in":
        return f"{sweep.title} (scale {results.scale}, on a procedural stand-in, not on real data)"
    return sweep.title if results.scale == "paper" else f"{sweep.title} (scale {results.scale})"


def what_ran(name: str, results: Set) -> str:
    """The first thing a reader must know: scale, data, hardware, commit, dates."""
    runs, done = results.runs, results.done
    steps = _one_of(runs["steps"].map("{:,}".format))
    lines = [
        f"Scale `{results.scale}`: {SCALE_WORDS[results.scale]}.",
        f"{len(done)} of {len(runs)} runs done; {runs['net'].nunique()} nets, "
        f"{steps} steps of {_one_of(runs['batch'].astype(str))} images.",
    ]
    if len(done):
        lines += [
            f"Data: {results.data} (SHA-256 {_one_of(done['data_sha256'].str[:12])}).",
            f"Hardware: {_one_of(done['hardware'])}. Commit: {_one_of(_commits(done))}.",
            f"Dates: {done['started'].min()[:10]} to {done['ended'].max()[:10]}.",
            *(f"Notice of the data: {text}" for text in sorted(set(done["notice"]) - {""})),
        ]
    command = f"python -m bench.sweep {name} --scale {results.scale}"
    return bullets([*lines, f"Command: `{command}`"])


def _commits(done: pd.DataFrame) -> pd.Series[str]:
    dirty = done["dirty"].map({"True": " with uncommitted changes"}).fillna("")
    return done["commit"].str[:10].replace("", "unknown") + dirty


def _one_of(values: pd.Series[str]) -> str:
    return "; ".join(sorted({str(v) for v in values}))


def findings(results: Set) -> str:
    """What the numbers say of the claim, in words, as far as this scale allows."""
    lines = [*tables.differences(results.runs), *tables.with_depth(results.runs)]
    if not lines:
        lines = ["Too few runs are done to say anything."]
    if results.scale != "paper":
        lines.append("No verdict against the paper: only runs of scale `paper` get one.")
    return bullets(lines)


def caption(results: Set) -> str:
    """What stands under the table: protocol, n, and what best-on-test would have flattered."""
    done, images = results.done, _one_of(results.done["test_images"].map("{:,.0f}".format))
    words = [
        f"Mean ± standard deviation over seeds (n). The test error is the last step's, on {images or 'the'} test "
        "images, one view each; the training error and loss are means over the last training window.",
        "Two uncertainties are kept apart: where the mean over other seeds would lie (Student's t, from two seeds on), "
        "and where this error would lie on other test images (Wilson).",
    ]
    if len(done):
        flattered = (done["test_error"] - done["best_test_error"]).mean()
        words.append(f"Each run's best test error instead of its last would have flattered by {flattered:.2f} points.")
        mixed = [word for word, column in MIXED.items() if done[column].nunique() > 1]
        words += [f"The rows mix {' and '.join(mixed)}."] if mixed else []
    if results.scale != "paper":
        words.append("The paper's numbers are there for orientation; they belong to its full schedule.")
    if results.others:
        words.append(f"{results.others} finished runs of other recipes than the sweep's present ones are left out.")
    failed = results.runs[results.runs["state"] == "failed"]
    words += [f"Failed: `{row['id']}`: {row['error_message']}." for _, row in failed.iterrows()]
    return " ".join(words)


def provenance(results: Set) -> str:
    """A row a run: what anybody needs to do it again."""
    header = ("run", "state", "test error %", "images/s", "seconds", "torch", "threads", "weights SHA-256")
    rows = []
    for _, row in results.runs.iterrows():
        if row["state"] == "done":
            numbers = (f"{row['test_error']:.2f}", f"{row['images_per_s']:.0f}", f"{row['seconds']:.0f}")
            rest = (str(row["torch"]), str(row["threads"]), f"`{str(row['weights_sha256'])[:12]}`")
        else:
            numbers, rest = ("–", "–", "–"), ("–", "–", "–")
        rows.append((f"`{row['id']}`", str(row["state"]), *numbers, *rest))
    return tables.markdown(header, rows)


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)
