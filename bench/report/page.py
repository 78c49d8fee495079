"""A sweep's report as a page of markdown: a function of the committed results and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.report import digests, frame
from bench.report.costs import cost_table, remaining_sections, rounded
from bench.report.evidence import Evidence, load_sets, weigh
from bench.report.first_screen import answer, findings_of
from bench.report.frame import Set, display_name
from bench.report.further_page import further_sections
from bench.report.numbers import Number, as_csv, mean_std
from bench.report.render import latex, style
from bench.report.render.latex import study_commit
from bench.report.rows import codes_in
from bench.report.sections import Draw, Drawing, Section, bullets, numbers_of, of_tables
from bench.report.stats import sample
from bench.report.tables import Table, one_of, plain
from bench.report.verdicts import claims
from bench.report.witnessed import witnessed
from bench.spec import Recipe, Sweep, counted, digest
from bench.spec.datasets import data_of_runs, is_official
from bench.spec.own import CODE_FOLDER, copy_name
from bench.store import make_folder, write_text

IN_MEMORY = ("size", "augment")  # fields of Recipe that are columns where they are not as the paper has them
SCALE_WORDS = {
    "paper": "the paper's schedule",
    "short": "a part of the paper's steps; errors are not comparable with the paper's",
    "quick": "a few minutes; it describes, and tests nothing",
}
HOW_TO_CITE = (
    "Every number of this page has an id and an anchor of that name ([numbers.csv](numbers.csv) lists them): "
    "`python -m bench cite {example}` prints it with interval, n and provenance, as BibTeX and as a LaTeX macro. "
    "[cite.bib](cite.bib) and `tables/{label}-*.tex` are for `\\input`."
)


def write_report(
    name: str, sweep: Sweep, results: Path, reports: Path, focus: tuple[str, str] | None = None
) -> Path | None:
    """Writes all of a sweep's report from its `results`. Returns the page of `focus`.

    focus: (scale, data), the best set if it is None. None if no run of it has ended yet.
    Raises StoreError if the results cannot be read.
    """
    sets = load_sets(results, sweep)
    if not sets:
        return None
    make_folder(reports / "tables")
    drawn, written = report(name, sweep, sets)
    for file, (draw, results_drawn) in drawn.items():
        style.save(draw(), reports / file, results_drawn)
    for file, text in written.items():
        write_text(reports / file, text)
    digests.drop_others(reports, files_of(drawn, written))
    digests.write_digests(reports, files_of(drawn, written))
    wanted = frame.page_names(sets).get(focus or (sets[0].scale, sets[0].data))
    return reports / wanted if wanted else None


def files_of(drawn: Iterable[str], written: Iterable[str]) -> list[Path]:
    """All files of a report, relative to its folder."""
    return [Path(name) for name in (*style.pictures(drawn), *written)]


def report(name: str, sweep: Sweep, sets: Sequence[Set]) -> tuple[dict[str, tuple[Draw, Set]], dict[str, str]]:
    """All of a report by file: what draws each figure and of which results, then the texts.

    A figure is an SVG, beside which a PDF stands; texts are pages, LaTeX tables, numbers, BibTeX.
    """
    weighed = weigh(name, sweep, sets)
    drawn: dict[str, tuple[Draw, Set]] = {}
    found: dict[str, str] = {}
    published: list[Number] = []
    for one in weighed:
        label, sections = one.results.label, sections_of(one)
        found[one.page] = page(one, [other for other in weighed if other is not one], sections)
        published += numbers_of(sections)
        for part in (part for section in sections for part in section.parts):
            if isinstance(part, Drawing):
                drawn[f"{part.name}-{label}.svg"] = (part.draw, one.results)
            elif isinstance(part, Table) and part.name:
                found[f"tables/{label}-{part.name}.tex"] = latex.tabular(part)
    found |= {
        "numbers.csv": as_csv(published),
        "tables/numbers.tex": latex.macros(published),
        "cite.bib": latex.bibliography(weighed),
    }
    return drawn, found


def sections_of(evidence: Evidence) -> list[Section]:
    """A set's page from its answer, with a figure and a table, to the deviations."""
    results, found = evidence.results, findings_of(evidence)
    told = answer(evidence, found)
    said = [sentence for sentence in (*found.answer, *found.said) if sentence not in told]
    costs = [cost_table(evidence)] if len(results.done) else []
    return [
        Section("", (bullets(told), *([found.figure] if found.figure else []))),
        *([found.table] if found.table else []),
        *([Section("Further findings", (bullets(said),))] if said else []),
        claims(evidence),
        *found.sections,
        *further_sections(evidence),
        *of_tables(("Beside resnet-bench's published results", published_table(evidence))),
        *(Section("Costs", (table,)) for table in costs),
        *(remaining_sections(evidence) if costs else []),
        *of_deviations(evidence),
    ]


def of_deviations(evidence: Evidence) -> list[Section]:
    """Where the runs knowingly differ from the paper; of a study of the user's own, or on other data, the choices."""
    sweep, results = evidence.sweep, evidence.results
    deviations = (*sweep.scales[results.scale].deviations, *sweep.deviations)
    if not deviations and results.authorship.own:
        return []
    heading = "Deviations from the paper" if results.dataset.of_paper else "Choices that the numbers depend on"
    return [Section(heading, (bullets(deviations) or "The sweep names none.",))]


BESIDE = ("net", "{} (n)", "resnet-bench's (n)")
PUBLISHED_NOTE = (
    "Published are the results that came with resnet-bench, of {hardware}, commit {commit}. Nothing is averaged over "
    "both; to publish runs, `python -m bench publish {name}`."
)


def published_table(evidence: Evidence) -> Table | None:
    """A user's own results beside the published ones of the same nets, scale and data; None where there are none."""
    results, task = evidence.results, evidence.sweep.task_row
    theirs = results.published
    if theirs is None:
        return None

    def shown(net: str, of: Set) -> str:
        ours = sample(of.done.loc[of.done["net"] == net, "test_error"])
        return mean_std(task.value(ours.mean), ours.std, ours.n)

    rows = [(display_name(net), shown(net, results), shown(net, theirs)) for net in map(str, results.nets.index)]
    commits = one_of(theirs.done["commit"].str[:10].replace("", "unknown"))
    note = PUBLISHED_NOTE.format(hardware=plain(one_of(theirs.done["hardware"])), commit=commits, name=evidence.name)
    return Table([head.format(f"{task.measure} %") for head in BESIDE], rows, note=note, name="published")


def page(evidence: Evidence, others: Iterable[Evidence] = (), sections: Sequence[Section] | None = None) -> str:
    """The markdown of one set: the question, the sections (those of `sections_of`), where it all comes from.

    others: of the sweep's other sets, which are linked.
    """
    sweep, results = evidence.sweep, evidence.results
    sections = sections_of(evidence) if sections is None else sections
    texts = [
        f"# {title(sweep, results)}",
        f"**{sweep.question}**",
        standing(evidence, others),
        *(text for section in sections for text in section.markdown(results.label)),
        "## About these runs",
        about(evidence),
        "## Provenance",
        provenance(evidence),
        "## How to cite",
        HOW_TO_CITE.format(
            example=next((n.id for n in numbers_of(sections) if not n.verdict), "ID"), label=results.label
        ),
    ]
    return "\n\n".join(texts) + "\n"


def standing(evidence: Evidence, others: Iterable[Evidence] = (), folder: str = "") -> str:
    """In one line the scale, the runs done and the data, with links to the other scales.

    folder: of the sweep's pages, seen from the page that says it, which is then none of them.
    """
    results = evidence.results
    known = {is_official(*pair) for pair in zip(results.done["data"], results.done["data_sha256"], strict=True)}
    official = "**not the official** " if False in known else "the official " if True in known else ""
    words = [
        f"Scale {f'[{results.scale}]({folder}{evidence.page})' if folder else f'`{results.scale}`'}: "
        f"{scale_words(evidence)}.",
        f"{runs_done(results)}, on {official}{results.dataset.title}.",
    ]
    links = ", ".join(
        f"[{other.results.label}]({folder}{other.page}) ({runs_done(other.results).replace(' done', '')})"
        for other in others
    )
    return " ".join([*words, *([f"Other scales: {links}."] if links else [])])


def runs_done(results: Set) -> str:
    """`7 of 34 runs done`, `28 of 36 runs done, 8 failed`."""
    failed = (results.runs["state"] == "failed").sum()
    return f"{len(results.done)} of {counted(len(results.runs), 'run')} done{f', {failed} failed' if failed else ''}"


def scale_words(evidence: Evidence) -> str:
    """What the scale is, as the sweep says it or in general."""
    scale = evidence.results.scale
    return evidence.sweep.scales[scale].about or SCALE_WORDS[scale]


def title(sweep: Sweep, results: Set) -> str:
    """The sweep's title; a stand-in and a scale that is not the paper's are said in it."""
    if results.dataset.made_up:
        return f"{sweep.title} (scale {results.scale}, on a procedural stand-in, not on real data)"
    return sweep.title if results.scale == "paper" else f"{sweep.title} (scale {results.scale})"


def about(evidence: Evidence) -> str:
    """What ran: scale, data, hardware, commit, dates."""
    results, who = evidence.results, evidence.results.authorship
    runs, done = results.runs, results.done
    steps, batch = one_of(runs["steps"].map("{:,}".format)), one_of(runs["batch"].astype(str))
    nets, recipes = runs["net"].str.partition("+")[0].nunique(), runs["net"].nunique()
    by_recipes = f" ({recipes} counting changes of recipe)" if recipes > nets else ""
    lines = [
        f"Scale `{results.scale}`: {scale_words(evidence)}.",
        f"{runs_done(results)}; {counted(nets, 'net')}{by_recipes}, "
        + (f"{steps} steps of {batch} images." if evidence.sweep.task_row.trains else "tested as they are."),
    ]
    made = {name: runs[name].replace("", str(getattr(Recipe(), name))) for name in IN_MEMORY if name in runs}
    lines += [f"Images in memory: {', '.join(f'{name} {one_of(values)}' for name, values in made.items())}."] * bool(
        made
    )
    if results.others:
        lines.append(f"{counted(results.others, 'finished run')} of earlier recipes, in runs.csv, in no number here.")
    if len(done):
        dirty = done["dirty"].map({"True": " with uncommitted changes"}).fillna("")
        commits = done["commit"].str[:10].replace("", "unknown") + dirty
        odd = sorted(set(done["pictures"].astype(str)) - {""}) if "pictures" in done else []
        lines += [
            f"Data: {data_of_runs(zip(done['data'], done['data_sha256'], strict=True), bold='**')}.",
            f"Hardware: {plain(one_of(done['hardware']))}. Commit: {one_of(commits)}.",
            f"Dates: {' to '.join(dict.fromkeys((done['started'].min()[:10], done['ended'].max()[:10])))}.",
            *([f"Study of {plain(who.author)}: {study_commit(who)}."] if who.own else []),
            *_own_code(results),
            *(f"Notice of the data: {plain(text)}" for text in sorted(set(done["notice"]) - {""})),
            *(f"Images and their anomalies: {plain(text.removesuffix('.'))}." for text in odd),
        ]
    seeds = ",".join(map(str, sorted(set(runs["seed"].astype(int)))))
    planned = {run.id for run in evidence.sweep.runs(results.scale, None, results.data)}
    other = "" if set(runs["id"]) <= planned else f" --seeds {seeds}"
    return bullets(
        [
            *lines,
            f"Results: SHA-256 {results.digest[:12]}; `python -m bench verify {evidence.name}` checks this page.",
            f"Command: `python -m bench.sweep {evidence.name}{'.py' * who.own} --scale {results.scale}{other}`",
        ]
    )


def _own_code(results: Set) -> list[str]:
    """The user's code that the runs depend on, with what its copy beside the numbers is called."""
    runs = [dict(row) for _, row in results.runs.iterrows()]
    codes = sorted({code for row in runs for code in codes_in(row)})
    words = [f"`{code}` (SHA-256 {digest[:12]}, `{CODE_FOLDER}/{copy_name(code, digest)}`)" for code, digest in codes]
    given = sorted({(display_name(row["net"]), row["options"]) for row in runs if row.get("options")})
    built = [f"; {net} is built with `{options}`" for net, options in given]
    return [f"Code of this study's own: {', '.join(words)}{''.join(built)}."] if words else []


def provenance(evidence: Evidence) -> str:
    """A row a run that has begun: what anybody needs to do it again. The others are counted."""
    results, task = evidence.results, evidence.sweep.task_row
    error = f"100 − {task.measure} %" if task.inverted else f"{task.measure} %"
    several = bool((results.runs["variant"] != "").any())  # then the run's name does not tell its recipe
    measured = (error, "images/s", "seconds", "torch", "threads", "weights SHA-256")
    rows = []
    begun = results.runs[results.runs["state"] != "pending"]
    for _, row in begun.iterrows():
        cells: tuple[str, ...] = ("–",) * len(measured)
        if row["state"] == "done":
            numbers = (f"{row['test_error']:.2f}", rounded(row["images_per_s"]), f"{row['seconds']:.0f}")
            cells = (
                *numbers,
                plain(str(row["torch"])),
                plain(str(row["threads"])),
                f"`{str(row['weights_sha256'])[:12]}`",
            )
        recipe = [display_name(row["net"]).partition(", ")[2] or "baseline"] if several else []
        rows.append((f"`{row['id']}`", *recipe, str(row["state"]), *cells))
    table = Table(("run", *["recipe"] * several, "state", *measured), rows, text=2 + several)
    waiting = len(results.runs) - len(begun)
    more = [f"{waiting:,} more {'run has' if waiting == 1 else 'runs have'} not begun."] if waiting else []
    return "\n\n".join([table.markdown(), *more, *repeated(results), *witnessed(evidence)])


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
