"""A sweep's report as a page of markdown: a function of the committed results and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bench.report import (
    cite,
    detection,
    digests,
    faces,
    figures,
    frame,
    imagenet,
    latex,
    layer_figures,
    layers,
    tables,
    verdicts,
)
from bench.report.costs import cost_table, rounded
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.frame import Set, display_name, own_recipes
from bench.report.numbers import as_csv, numbers
from bench.report.remaining import remaining_section
from bench.report.tables import Table, one_of
from bench.spec import DETECTION, Sweep, counted, digest
from bench.spec.official import data_of_runs
from bench.store import make_folder, write_text

SCALE_WORDS = {
    "paper": "the paper's schedule",
    "short": "a part of the paper's steps: not to be compared with the paper's numbers",
    "quick": "a few minutes' look at the claim's shape: not to be compared with the paper's numbers",
}
FIGURE_6 = (
    "Error against iterations in the manner of the paper's Fig. 6{sides}: dashed the "
    "training error (augmented batches, in training mode), bold the test error; mean over the seeds, and a band from "
    "the lowest to the highest seed where there are several."
)
OWN = " Each net by its own recipe."
TRADEOFF = (
    "Test error of the last step against what a net costs: mean over the seeds, with the 95 % interval of the mean "
    "where there are two or more. Parameters and multiply-adds are computed; the training time is the one measured, of "
    "the machine that most of the nets ran on."
)


def write_report(
    name: str, sweep: Sweep, results: Path, reports: Path, focus: tuple[str, str] | None = None
) -> Path | None:
    """Writes all of a sweep's report from its `results`. Returns the page of `focus`.

    focus: (scale, data), the best set where it is None. None where no run of it has ended yet.
    Raises StoreError where the results cannot be read.
    """
    sets = load_sets(results, sweep)
    if not sets:
        return None
    make_folder(reports)
    make_folder(reports / "tables")
    drawn, written = drawings(sweep, sets), texts(name, sweep, sets)
    for file, (draw, results_drawn) in drawn.items():
        figures.save(draw(), reports / file, results_drawn)
    for file, text in written.items():
        write_text(reports / file, text)
    digests.drop_others(reports, files_of(drawn, written))
    digests.write_digests(reports, files_of(drawn, written))
    wanted = frame.page_names(sets).get(focus or (sets[0].scale, sets[0].data))
    return reports / wanted if wanted else None


def files_of(drawn: Iterable[str], written: Iterable[str]) -> list[Path]:
    """All files of a report, relative to its folder."""
    return [Path(name) for svg in drawn for name in (svg, svg.replace(".svg", ".png"))] + [Path(n) for n in written]


def drawings(sweep: Sweep, sets: Sequence[Set]) -> dict[str, tuple[Callable[[], Figure], Set]]:
    """What draws each figure, by its file (SVG, beside which a PNG stands), and the results that it draws."""
    found: dict[str, tuple[Callable[[], Figure], Set]] = {}
    for one in sets:
        of_errors = figures.FIGURES if len(own_recipes(one.done)) and sweep.task == "classify" else {}
        of_faces = faces.drawings(one) if sweep.task == "verify" else {}
        of_boxes = detection.drawings(one) if sweep.task == "detect" else {}
        own = {name: partial(draw, one) for name, draw in {**of_errors, **of_faces, **of_boxes}.items()}
        drawn = own | layer_figures.drawings(one)
        found |= {f"{name}-{one.label}.svg": (draw, one) for name, draw in drawn.items()}
    return found


def texts(name: str, sweep: Sweep, sets: Sequence[Set]) -> dict[str, str]:
    """Every text of the report by its file: pages, LaTeX tables, numbers, BibTeX."""
    weighed = weigh(name, sweep, sets)
    found = {}
    for one in weighed:
        found[one.page] = page(one, [(other.results.label, other.page) for other in weighed if other is not one])
        found |= {f"tables/{one.results.label}-{file}.tex": latex.tabular(t) for file, t in tables_of(one).items()}
    published = [number for one in weighed for number in numbers(one)]
    return {
        **found,
        "numbers.csv": as_csv(published),
        "tables/numbers.tex": latex.macros(published),
        "cite.bib": cite.bibliography(weighed),
    }


def tables_of(evidence: Evidence) -> dict[str, Table]:
    """The tables that are there, by the names of their LaTeX files."""
    results, done = evidence.results, len(evidence.results.done) > 0
    about_errors = evidence.sweep.task == "classify"
    found = {
        **(imagenet.tables_of(evidence) if done and results.pictures else {}),
        "verification": faces.verification_table(evidence) if done and evidence.sweep.task == "verify" else None,
        **(_detection_tables(evidence) if evidence.detected else {}),
        "table6": tables.table6(evidence) if about_errors and not results.pictures else None,
        "others": tables.reproductions_table(evidence) if about_errors and not results.pictures else None,
        "claims": verdicts.claims_table(evidence) if _judged(evidence) else None,
        "pairs": verdicts.paired_table(evidence),
        "variants": verdicts.variants_table(evidence),
        "protocols": tables.protocols(evidence) if done and about_errors and not results.pictures else None,
        "gradients": layers.gradient_table(evidence) if layers.has_gradients(results) else None,
        "responses": layers.response_table(evidence) if layers.has_responses(results) else None,
        "costs": cost_table(evidence) if done else None,
    }
    return {name: table for name, table in found.items() if table}


def _judged(evidence: Evidence) -> bool:
    """Whether there is something to say of claims: a detector's scale quick is not about any of them."""
    return any(one.links for one in evidence.judged) if evidence.sweep.task == "detect" else bool(evidence.judged)


def _detection_tables(evidence: Evidence) -> dict[str, Table | None]:
    results, found = evidence.results, evidence.detected
    assert found is not None
    return {
        "gains": detection.gains_table(results, found, evidence.id),
        "detection": detection.ap_table(results, found, evidence.id),
        "options": detection.options_table(results, evidence.id),
        "classes": detection.classes_table(results),
    }


def page(evidence: Evidence, others: Iterable[tuple[str, str]] = ()) -> str:
    """The markdown of one set: the question, the verdicts, the tables, the figures, where it all comes from."""
    sweep, results = evidence.sweep, evidence.results
    found = tables_of(evidence)
    sections = [
        f"# {title(sweep, results)}",
        what_ran(evidence),
        f"**Question.** {sweep.question}",
        f"**The claim.** {sweep.claim}",
        *SECTIONS[sweep.task](evidence, found),
        *_section("Costs", found.get("costs")),
        *(remaining_section(evidence) if "costs" in found else []),
        *_deviations(sweep, results.scale),
        "## Provenance",
        provenance(results),
        "## How to cite",
        cite.how_to(evidence),
    ]
    links = ", ".join(f"[{label}]({path})" for label, path in others)
    if links:
        sections.append(f"Other scales of this sweep: {links}.")
    return "\n\n".join(sections) + "\n"


def classification(evidence: Evidence, found: Mapping[str, Table]) -> list[str]:
    """The sections of a sweep about errors: findings, verdicts, Table 6, Fig. 6, and Fig. 7 where it was measured."""
    results = evidence.results
    return [
        "## What the numbers say",
        findings(evidence),
        *verdicts.claims_section(evidence, found.get("claims")),
        *_section("Table 6", found.get("table6")),
        *_section("Beside other people's numbers", found.get("others")),
        *imagenet.sections(found),
        *_section("Protocols side by side", found.get("protocols")),
        *_section("Plain and residual nets, image by image", found.get("pairs")),
        *_section("One net by several recipes", found.get("variants")),
        *_figures(results),
        *layers.response_sections(results, found.get("responses")),
    ]


def diagnosis(evidence: Evidence, found: Mapping[str, Table]) -> list[str]:
    """The sections of a sweep about layers: findings, verdicts if it has claims, gradients, Fig. 7."""
    results = evidence.results
    seen = layers.gradient_findings(results) or ["Nothing has been seen of any layer yet."]
    return [
        "## What the numbers say",
        bullets([*seen, *no_verdict(results)]),
        *verdicts.claims_section(evidence, found.get("claims")),
        *layers.gradient_sections(results, found.get("gradients")),
        *layers.response_sections(results, found.get("responses")),
    ]


def evaluation(evidence: Evidence, found: Mapping[str, Table]) -> list[str]:
    """The sections of a sweep that tests published weights."""
    lines = ["Published weights were trained by other recipes than the paper's: its numbers stand beside them."]
    if evidence.results.data != "imagenet":
        lines.append(f"{evidence.results.data} is a part of what the paper tests on: no number here is beside its own.")
    return ["## What the numbers say", bullets(lines), *imagenet.sections(found)]


def verification(evidence: Evidence, found: Mapping[str, Table]) -> list[str]:
    """The sections of a sweep about faces."""
    results = evidence.results
    lines = faces.findings(results) if len(results.done) else ["Too few runs are done to say anything."]
    return ["## What the numbers say", bullets(lines), *faces.sections(results, found.get("verification"))]


def detectors(evidence: Evidence, found: Mapping[str, Table]) -> list[str]:
    """The sections of a sweep about detection."""
    results = evidence.results
    lines = detection.findings(evidence.detected) if evidence.detected else ["Nothing is done yet."]
    return [
        "## What the numbers say",
        bullets([*lines, *layers.diverged(results), *no_verdict(results)]),
        *(verdicts.claims_section(evidence, found["claims"]) if "claims" in found else []),
        *detection.sections(results, found),
    ]


SECTIONS: Mapping[str, Callable[[Evidence, Mapping[str, Table]], list[str]]] = {
    "classify": classification,
    "diagnose": diagnosis,
    "evaluate": evaluation,
    "verify": verification,
    "detect": detectors,
}


def _section(heading: str, table: Table | None) -> list[str]:
    return [f"## {heading}", table.markdown(), table.note] if table else []


def _deviations(sweep: Sweep, scale: str) -> list[str]:
    known = (*sweep.scales[scale].deviations, *sweep.deviations)
    return ["## Deviations from the paper", bullets(known) if known else "The sweep names none."]


def _figures(results: Set) -> list[str]:
    if not len(own_recipes(results.done)):
        return []
    both = own_recipes(results.done)["shortcut"].eq("none").nunique() == 2
    sides = ", plain nets left, residual nets right" if both else ""
    return [
        "## Figure 4" if results.pictures else "## Figure 6",
        f"![Training and test error against iterations](curves-{results.label}.svg)",
        (imagenet.FIGURE_4 if results.pictures else FIGURE_6.format(sides=sides))
        + (OWN if (results.runs["variant"] != "").any() else ""),
        "## Which net for what can be spent",
        f"![Test error against depth, parameters, multiply-adds and training time](tradeoff-{results.label}.svg)",
        TRADEOFF,
    ]


def title(sweep: Sweep, results: Set) -> str:
    """The sweep's title; a stand-in and a scale that is not the paper's are said in it."""
    if results.data == "stand-in":
        return f"{sweep.title} (scale {results.scale}, on a procedural stand-in, not on real data)"
    return sweep.title if results.scale == "paper" else f"{sweep.title} (scale {results.scale})"


def what_ran(evidence: Evidence) -> str:
    """The first thing a reader must know: scale, data, hardware, commit, dates."""
    sweep, results = evidence.sweep, evidence.results
    runs, done = results.runs, results.done
    steps = one_of(runs["steps"].map("{:,}".format))
    lines = [
        f"Scale `{results.scale}`: {sweep.scales[results.scale].about or SCALE_WORDS[results.scale]}.",
        f"{len(done)} of {len(runs)} runs done; {_how_many(runs)}, "
        f"{steps} steps of {one_of(runs['batch'].astype(str))} images.",
    ]
    if len(done):
        lines += [
            f"Data: {data_of_runs(zip(done['data'], done['data_sha256'], strict=True), bold='**')}.",
            f"Hardware: {one_of(done['hardware'])}. Commit: {one_of(_commits(done))}.",
            f"Dates: {done['started'].min()[:10]} to {done['ended'].max()[:10]}.",
            *(f"Notice of the data: {text}" for text in sorted(set(done["notice"]) - {""})),
            *(f"Pictures that the runs met: {text.removesuffix('.')}." for text in odd_pictures(done)),
        ]
    seeds = sorted(set(runs["seed"].astype(int)))
    planned = {run.id for run in sweep.runs(results.scale, None, results.data)}
    other = "" if set(runs["id"]) <= planned else f" --seeds {','.join(map(str, seeds))}"
    command = f"python -m bench.sweep {evidence.name} --scale {results.scale}{other}"
    checked = f"Results: SHA-256 {results.digest[:12]}; `python -m bench verify {evidence.name}` checks this page."
    return bullets([*lines, checked, f"Command: `{command}`"])


def _how_many(runs: pd.DataFrame) -> str:
    """`10 nets`, `2 nets by 6 recipes in all`."""
    nets, rows = runs["net"].str.partition("+")[0].nunique(), runs["net"].nunique()
    return counted(nets, "net") + (f" by {rows} recipes in all" if rows > nets else "")


def odd_pictures(done: pd.DataFrame) -> list[str]:
    """What the runs on pictures met; the same words of several once."""
    return sorted(set(done["pictures"].astype(str)) - {""}) if "pictures" in done else []


def _commits(done: pd.DataFrame) -> pd.Series[str]:
    dirty = done["dirty"].map({"True": " with uncommitted changes"}).fillna("")
    return done["commit"].str[:10].replace("", "unknown") + dirty


def findings(evidence: Evidence) -> str:
    """What the numbers say of the claim, in words, as far as this scale allows."""
    results = evidence.results
    lines = [*tables.differences(results), *tables.with_depth(results), *verdicts.variant_findings(evidence)]
    lines = lines or ["Too few runs are done to say anything."]
    return bullets([*lines, *layers.diverged(results), *no_verdict(results)])


def no_verdict(results: Set) -> list[str]:
    """Said wherever there might have been one."""
    return [] if results.scale == "paper" else ["No verdict against the paper: only runs of scale `paper` get one."]


def provenance(results: Set) -> str:
    """A row a run that has begun: what anybody needs to do it again. The others are counted."""
    error = "100 − AP50 %" if results.data in DETECTION else "test error %"
    several = bool((results.runs["variant"] != "").any())  # then the run's name does not tell its recipe
    header = (
        "run",
        *["recipe"] * several,
        "state",
        error,
        "images/s",
        "seconds",
        "torch",
        "threads",
        "weights SHA-256",
    )
    rows = []
    begun = results.runs[results.runs["state"] != "pending"]
    waiting = len(results.runs) - len(begun)
    for _, row in begun.iterrows():
        if row["state"] == "done":
            numbers = (f"{row['test_error']:.2f}", rounded(row["images_per_s"]), f"{row['seconds']:.0f}")
            rest = (str(row["torch"]), str(row["threads"]), f"`{str(row['weights_sha256'])[:12]}`")
        else:
            numbers, rest = ("–", "–", "–"), ("–", "–", "–")
        recipe = [display_name(row["net"]).partition(", ")[2] or "the net's own"] if several else []
        rows.append((f"`{row['id']}`", *recipe, str(row["state"]), *numbers, *rest))
    more = f"\n\n{waiting:,} more {'run has' if waiting == 1 else 'runs have'} not begun." if waiting else ""
    return "\n\n".join([Table(header, rows, text=2 + several).markdown() + more, *repeated(results)])


def repeated(results: Set) -> list[str]:
    """What further results of the runs there are, which are in no number, beside the ones that stand."""
    standing = dict(zip(results.runs["id"], results.runs["test_error"], strict=True))
    ours = [row for row in results.repeats if row["id"] in standing]
    if not ours:
        return []
    lines = [f"`{row['id']}` {float(row['test_error']):.2f} % beside {standing[row['id']]:.2f} %" for row in ours]
    words = "1 further result" if len(ours) == 1 else f"{len(ours):,} further results"
    what = f"{words} of the same runs {'is' if len(ours) == 1 else 'are'} kept in repeats.csv"
    return [f"{what} (SHA-256 {digest(ours)[:12]}): {'; '.join(lines)}."]


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)
