"""The page of a classification: verdicts, Table 6, Fig. 6, nets image by image, accuracy against cost."""

from __future__ import annotations

from functools import partial

from bench.report import tables, verdicts
from bench.report.evidence import Evidence, compare
from bench.report.frame import Set, display_name, first_option, nets_of, own_recipes, with_bn
from bench.report.render import figures
from bench.report.sections import Drawing, Section, diverged, findings, of_tables
from bench.tasks.diagnosis.sections import response_sections

CURVES = (
    "Error against iterations in the manner of the paper's Fig. {figure}{sides}: dashed the training error (augmented "
    "batches, in training mode), bold the {error}; mean over the seeds, and a band from the lowest to the highest seed "
    "where there are several."
)
SIDES = ", plain nets left, residual nets right"
OWN = " Each net by its own recipe."
TRADEOFF = (
    "Test error of the last step against what a net costs: mean over the seeds, with the 95 % interval of the mean "
    "where there are two or more. Parameters and multiply-adds are computed; the training time is the one measured, of "
    "the machine that most of the nets ran on."
)


def sections(evidence: Evidence) -> list[Section]:
    """Findings, verdicts, the tables and curves that belong to the data, pairs of nets, costs, Fig. 7."""
    results = evidence.results
    said = [*tables.differences(results), *tables.with_depth(results), *verdicts.variant_findings(evidence)]
    said = said or ["Too few runs are done to say anything."]
    return [
        findings([*said, *diverged(results), *verdicts.no_verdict(results)]),
        *verdicts.claims_sections(evidence),
        *results.dataset.resolve("sections")(evidence),
        *of_tables(
            ("Plain and residual nets, image by image", verdicts.paired_table(evidence)),
            ("Shallow and deep nets, image by image", depth_table(evidence)),
            ("One net by several recipes", verdicts.variants_table(evidence)),
        ),
        *_tradeoff(results),
        *response_sections(evidence),
    ]


DEPTHS = (
    "nets", "seeds (shallow, deep)", "error: deep − shallow, points", "95 %, images and seeds", "only shallow right",
    "only deep right", "McNemar p",
)  # fmt: skip


def depth_table(evidence: Evidence) -> tables.Table | None:
    """Of plain, residual and other nets the shallowest beside the deepest; None if there are no two depths."""
    done = first_option(with_bn(evidence.results.done)).sort_values("depth")
    pairs = []
    for _, nets in done.groupby(nets_of(done), sort=False)["net"]:
        shallow, deep = str(nets.iloc[0]), str(nets.iloc[-1])
        if shallow != deep and (pair := compare(evidence.results, shallow, deep, f"pair-{shallow}-{deep}")):
            pairs.append(pair)
    rows = [
        (
            f"{display_name(pair.names[0])}, {display_name(pair.names[1])}",
            f"{pair.seeds[0]}, {pair.seeds[1]}",
            *verdicts.image_by_image(evidence, pair),
        )
        for pair in pairs
    ]
    return tables.Table(DEPTHS, rows, note=verdicts.image_note("nets", pairs), name="depths") if rows else None


def of_cifar(evidence: Evidence) -> list[Section]:
    """Table 6, other people's numbers, protocols, Fig. 6."""
    done = len(evidence.results.done) > 0
    return [
        *of_tables(
            ("Table 6", tables.table6(evidence)),
            ("Beside other people's numbers", tables.reproductions_table(evidence)),
            ("Protocols side by side", tables.protocols(evidence) if done else None),
        ),
        *curves(evidence.results, 6, "test error"),
    ]


def curves(results: Set, figure: int, error: str) -> list[Section]:
    """Errors against iterations, as in that figure of the paper. error: the name of the test's."""
    done = own_recipes(results.done)
    if not len(done):
        return []
    sides = SIDES if done["shortcut"].eq("none").nunique() == 2 else ""
    caption = CURVES.format(figure=figure, sides=sides, error=error) + (
        OWN if (results.runs["variant"] != "").any() else ""
    )
    alt = "Training and test error against iterations"
    return [Section(f"Figure {figure}", (Drawing("curves", alt, caption, partial(figures.curves, results)),))]


def _tradeoff(results: Set) -> list[Section]:
    if not len(own_recipes(results.done)):
        return []
    alt = "Test error against depth, parameters, multiply-adds and training time"
    drawing = Drawing("tradeoff", alt, TRADEOFF, partial(figures.tradeoff, results))
    return [Section("Accuracy against cost", (drawing,))]
