"""The page of a classification: verdicts, Table 6, Fig. 6, nets image by image, accuracy against cost."""

from __future__ import annotations

from functools import partial

from bench.report import tables, verdicts
from bench.report.evidence import Evidence
from bench.report.frame import Set, own_recipes
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
            ("One net by several recipes", verdicts.variants_table(evidence)),
        ),
        *_tradeoff(results),
        *response_sections(evidence),
    ]


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
