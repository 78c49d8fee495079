"""What the READMEs say of results: `bench publish` fills the blocks, and `bench verify` holds them against the numbers.

A block stands between `<!-- generated: NAME SWEEP -->` and `<!-- end -->`; SWEEP is there where the block needs one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.report.answers import Study, totals
from bench.report.claims import WAITING, tally
from bench.report.coverage import coverage
from bench.report.evidence import Evidence, weigh
from bench.report.first_screen import findings_of
from bench.report.frame import Set, display_name, first_option
from bench.report.kept_speeds import kept_speeds
from bench.report.numbers import TEST_ERROR, TRAIN_ERROR, of_net
from bench.report.sections import bullets
from bench.report.tables import Table, one_of, plain
from bench.spec import counted
from bench.store import StoreError, write_text
from bench.tasks.classification.sections import printed

PAGES = ("README.md", "bench/speed/README.md")
BLOCK = re.compile(r"<!-- generated: (?P<name>[a-z]+) ?(?P<sweep>[\w-]*) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL)
NOTE = (
    "Errors in %: mean ± standard deviation over seeds (n), of the last step. The training error is that of the last "
    "window of augmented batches. The paper's are of {steps:,} steps."
)


@dataclass(frozen=True, slots=True)
class Project:
    """A checkout with all that is published in it: every sweep with its results, and the folder that holds results/."""

    studies: Sequence[Study]
    root: Path

    def study(self, name: str) -> Study:
        """A sweep that has results. Raises StoreError where it has none."""
        for study in self.studies:
            if study.name == name and study.sets:
                return study
        raise StoreError(f"nothing is published of the sweep {name!r}")

    def evidence(self, name: str) -> list[Evidence]:
        """Of each scale of a sweep, the longest first, of scale quick where there is nothing else."""
        study = self.study(name)
        found = sorted(weigh(name, study.sweep, study.sets), key=lambda one: -one.results.runs["steps"].max())
        return [one for one in found if one.results.scale != "quick"] or found


def write_blocks(project: Project) -> None:
    """Fills the blocks of the pages that are there. Raises StoreError."""
    for path, text in texts(project):
        write_text(path, text)


def texts(project: Project) -> Iterator[tuple[Path, str]]:
    """Each page with blocks, and what it has to say. Raises StoreError where a page or a block cannot be made out."""
    for path in (project.root / page for page in PAGES):
        if path.exists():
            yield path, filled(path, project)


def filled(path: Path, project: Project) -> str:
    """The page's text with its blocks as the results have them."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from None
    begun, ended = text.count("<!-- generated:"), len(BLOCK.findall(text))
    if begun != ended:
        raise StoreError(f"{path}: of {counted(begun, 'block')} {ended} can be read: end each with <!-- end -->")

    def renewed(block: re.Match[str]) -> str:
        if block["name"] not in BLOCKS:
            raise StoreError(f"{path}: no block {block['name']!r}; there are: {', '.join(BLOCKS)}")
        head = block[0].partition("\n")[0]
        try:
            return f"{head}\n{BLOCKS[block['name']](project, block['sweep'])}\n<!-- end -->"
        except StoreError as error:
            raise StoreError(f"{path}: the block {head}: {error}") from None

    return BLOCK.sub(renewed, text)


def found(project: Project, name: str) -> str:
    """What the paper says, the paragraph, the figure and the table of a sweep."""
    weighed = project.evidence(name)
    claim = f"*The claim of the paper.* {weighed[0].sweep.claim}"
    return "\n\n".join(filter(None, [claim, _paragraph(weighed), _figure(weighed), _table(weighed)]))


def _paragraph(weighed: Sequence[Evidence]) -> str:
    """How far the claims are decided, then what each scale says, first those that compare depths."""
    counts = tally(one for evidence in weighed for one in evidence.judged)
    judged, waiting = sum(counts.values()), counts.pop(WAITING, 0)
    if decided := ", ".join(f"{count} {verdict}" for verdict, count in counts.items()):
        first = f"Of {counted(judged, 'claim')}: {decided}" + (f"; {waiting} wait for seeds." if waiting else ".")
    else:
        first = f"Nothing is decided yet: of {counted(waiting, 'claim')} none has all of its planned seeds."
    alone = max(int(one.results.nets["n"].max()) for one in weighed) == 1
    last = ["One seed of each net says nothing about the spread over seeds."] if alone else []
    telling = sorted(weighed, key=lambda one: not _compares_depths(one.results))
    return "\n\n".join([" ".join([f"**{first}**", *last]), bullets(map(_of_scale, telling))])


def _of_scale(evidence: Evidence) -> str:
    """`With 8,000 of the paper's 64,000 steps (scale short, 7 of 34 runs): …`."""
    results, page = evidence.results, f"reports/{evidence.name}/{evidence.page}"
    steps, paper = int(results.runs["steps"].max()), _paper_steps(evidence)
    how = "By the paper's schedule" if steps == paper else f"With {steps:,} of the paper's {paper:,} steps"
    counts = f"{len(results.done)} of {counted(len(results.runs), 'run')}"
    before = (results.done["claims_sha256"] == "").sum() if evidence.sweep.judged_at(results.scale) else 0
    words = f", {before} of them begun before the claims were declared" if before else ""
    return f"{how} ([scale {results.label}]({page}), {counts}{words}): {' '.join(findings_of(evidence).answer)}"


def _paper_steps(evidence: Evidence) -> int:
    return max(recipe.steps for _, recipe in evidence.sweep.scales["paper"].cells)


def _figure(weighed: Sequence[Evidence]) -> str:
    """Of the longest schedule that has plain and residual nets of two depths, else of the longest."""
    one = next((one for one in weighed if _compares_depths(one.results)), weighed[0])
    figure, label = findings_of(one).figure, one.results.label
    return replace(figure, alt=f"{figure.alt}, scale {label}").image(label, f"reports/{one.name}/") if figure else ""


def _compares_depths(results: Set) -> bool:
    nets = first_option(results.nets)
    nets = nets[nets["n"] > 0]
    plain_ones = nets["shortcut"] == "none"
    return len(set(nets.loc[plain_ones, "depth"]) & set(nets.loc[~plain_ones, "depth"])) > 1


def _table(weighed: Sequence[Evidence]) -> str:
    """A row a net, plain ones first, with each schedule's errors beside the paper's."""
    nets = {str(net): row for one in weighed for net, row in one.results.nets.iterrows() if row["n"]}
    ordered = sorted(nets, key=lambda net: (nets[net]["shortcut"] != "none", nets[net]["depth"]))
    rows = [
        (
            display_name(net),
            *(str(of_net(one, net, metric)) for one in weighed for metric in (TRAIN_ERROR, TEST_ERROR)),
            printed(net),
        )
        for net in ordered
    ]
    steps = [f"{int(one.results.runs['steps'].max()):,} steps" for one in weighed]
    columns = [f"{words}, {length}" for length in steps for words in ("training error", "test error")]
    table = Table(("net", *columns, "the paper's test error"), rows).markdown()
    return f"{table}\n\n{NOTE.format(steps=_paper_steps(weighed[0]))}"


def missing(project: Project, _: str) -> str:
    """What was not done: the sweeps without long runs, the paper's results, the hardware."""
    quick = [study.name for study in project.studies if study.quick_alone]
    none = [study.name for study in project.studies if not study.sets]
    by_status = totals(coverage(project.studies))
    counts = ", ".join(f"{count} {status}" for status, count in by_status.items())
    hardware = [one.done["hardware"] for study in project.studies for one in study.sets]
    machines = sorted({name for column in hardware for name in one_of(column).split("; ") if name})
    on_cpus = bool(machines) and all(re.search(r", \d+ cores?$", name) for name in machines)
    lines = [
        f"Run at scale `quick` alone, minutes of training that decide nothing: {_names(quick)}." if quick else "",
        f"Not run: {_names(none)}." if none else "",
        f"Of the paper's {sum(by_status.values())} results ([each of them](reports/README.md)): {counts}.",
        f"Published runs trained on: {plain('; '.join(machines))}." + " **No GPU has run this suite yet.**" * on_cpus,
    ]
    return "\n".join(f"- {line}" for line in lines if line)


def _names(sweeps: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in sweeps)


def first(project: Project, name: str) -> str:
    """What a first look costs: the published runs of scale quick."""
    study = project.study(name)
    scale = study.sweep.scales["quick"]
    what = (
        f"Without a GPU that is scale `quick`: {counted(len(scale.cells), 'net')}, {scale.cells[0][1].steps} steps each"
    )
    done = [one.done[one.done["seed"].isin(scale.seeds)] for one in study.sets if one.label == "quick"]
    if not done or done[0].empty:
        return f"{what}."
    minutes = done[0]["seconds"] / 60
    where = f"on {counted(int(done[0]['threads'].iloc[0]), 'thread')} of {plain(one_of(done[0]['hardware']))}"
    return f"{what}, which took {minutes.min():.1f} to {minutes.max():.1f} minutes a run, {where}."


def speeds(project: Project, _: str) -> str:
    """The figures of results/speed/, for the page in bench/speed/."""
    return kept_speeds(project.root / "results" / "speed", "../../results/speed")


BLOCKS: Mapping[str, Callable[[Project, str], str]] = {
    "found": found,
    "missing": missing,
    "first": first,
    "speeds": speeds,
}
