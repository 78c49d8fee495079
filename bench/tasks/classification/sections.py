"""The page of a classification: verdicts, Table 6, Fig. 6, nets image by image, accuracy against cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from bench.paper import paper_error, reproductions
from bench.report.evidence import Evidence, Pair, claimed_pairs, compare
from bench.report.frame import Set, display_name, first_option, nets_of, own_recipes, with_bn
from bench.report.machines import STEADY
from bench.report.numbers import (
    BEST_TEST_ERROR,
    TEST_ERROR,
    TRAIN_ERROR,
    TRAIN_LOSS,
    Cell,
    Metric,
    of_net,
    reached,
    text_of,
    with_worst_case,
)
from bench.report.pairs import apart, apart_note, baselines, paired_table, trained_table, variants_table
from bench.report.render import figures
from bench.report.sections import Drawing, Findings, Section, diverged, of_tables
from bench.report.stats import sample
from bench.report.tables import Table, caption, missing, one_of, one_seed, spread, with_intervals
from bench.tasks.classification.figures import forest, forest_rows
from bench.tasks.classification.sentences import sentences
from bench.tasks.diagnosis.sections import response_sections

CURVES = (
    "Error against iterations in the manner of the paper's Fig. {figure}. Dashed: the training error ({batches}"
    "batches, in training mode; open marks); bold: the {error}; {seeds}. Colour and marker tell the depth, the same in "
    "all figures."
)
BAND = "mean over the seeds, and a band from the lowest to the highest where there are several, lighter in training"
ONE_SEED = "one seed of each net"
NO_RIGHT_PANEL = (
    " The paper's right panel, ResNet-110 beside ResNet-1202, is missing: no net of this study has so many layers."
)
OWN = " Shown: the baseline recipe ({}); the changed ones are left out."
BASELINE = " A net named without a recipe has the baseline recipe: {}."
TRADEOFF = (
    "Test error of the last step against what a net costs: {seeds}; plain nets have open markers; nets that cost the "
    "same stand beside each other. Parameters and multiply-adds are computed"
)
TIMES = (
    "; the training time is the one measured on the machine that most of the nets ran on, where the runs of each net "
    "were equally fast (within {percent:.0f} %)."
)
NO_TIMES = (
    ". Training times are not drawn: for that each net needs two runs or more on one machine that are equally fast "
    "(within {percent:.0f} %); others may have shared it with other work."
)
INTERVAL = "mean over the seeds, with its 95 % interval over seeds where there are two or more"


def findings(evidence: Evidence) -> Findings:
    """What depth or another recipe changes, the tables and curves that belong to the data, pairs, costs, Fig. 7."""
    results = evidence.results
    of_data: Findings = results.dataset.resolve("findings")(evidence)
    answer, said = sentences(evidence)
    depths = depth_pairs(evidence)
    claimed = claimed_pairs(evidence)
    tested = [] if evidence.describes else [*evidence.pairs, *claimed, *depths]
    return replace(
        of_data,
        answer=answer or [reached(evidence, "Test error", TEST_ERROR)],
        said=[*diverged(results), *said],
        sections=[
            *of_data.sections,
            *of_tables(
                ("Plain against residual nets", paired_table(evidence)),
                ("Nets of two kinds", claimed_table(evidence, claimed)),
                ("Shallow against deep nets", depth_table(evidence, depths)),
                ("One net by several recipes", variants_table(evidence)),
                ("Two trained nets, image by image", trained_table(tested)),
            ),
            *_tradeoff(results),
            *response_sections(evidence),
        ],
    )


DEPTHS = ("nets", "seeds (shallow, deep)", "error: deep − shallow, points", "95 %, seeds", "95 %, images only")


def depth_pairs(evidence: Evidence) -> list[Pair]:
    """Of plain, residual and other nets the shallowest with the deepest."""
    done = first_option(with_bn(evidence.results.done)).sort_values("depth")
    found = []
    for _, nets in done.groupby(nets_of(done), sort=False)["net"]:
        shallow, deep = str(nets.iloc[0]), str(nets.iloc[-1])
        key = f"pair-{shallow}-{deep}"
        if shallow != deep and (pair := compare(evidence.results, evidence.floor, shallow, deep, key)):
            found.append(pair)
    return found


def depth_table(evidence: Evidence, pairs: Sequence[Pair]) -> Table | None:
    """A row a kind of nets; None if there are no two depths."""
    rows = list(map(partial(_apart, evidence), pairs))
    return Table(DEPTHS, rows, note=apart_note(evidence), name="depths") if rows else None


CLAIMED = ("nets", "seeds (first, second)", "error: second − first, points", "95 %, seeds", "95 %, images only")


def claimed_table(evidence: Evidence, pairs: Sequence[Pair]) -> Table | None:
    """A row a pair of nets that are not plain and residual; None without any."""
    rows = list(map(partial(_apart, evidence), pairs))
    return Table(CLAIMED, rows, note=apart_note(evidence), name="claimed") if rows else None


def _apart(evidence: Evidence, pair: Pair) -> tuple[Cell, ...]:
    nets = ", ".join(map(display_name, pair.names))
    return nets, f"{pair.seeds[0]}, {pair.seeds[1]}", *apart(evidence, pair)


def of_cifar(evidence: Evidence) -> Findings:
    """Fig. 6 and Table 6, then other people's numbers and ways to read a number off a training."""
    table = table6(evidence)
    heading = "Test and training error"
    return Findings(
        answer=(),
        figure=curves(evidence, 6, "test error"),
        table=Section(evidence.named(heading, "Table 6") if table.name == "table6" else heading, (table,)),
        sections=[
            *others(evidence),
            *of_tables(("Last step, best checkpoint, held-out images", protocols(evidence))),
        ],
    )


def printed(net: str) -> str:
    """What the paper prints for a net in Table 6."""
    number = paper_error(net)
    if number is None:
        return "–"
    if "mean" in number:
        return f"{number['value']:.2f} ({number['mean']:.2f} ± {number['std']:.2f}, n = {number['n']})"
    return f"{number['value']:.2f}"


TABLE_6 = (
    "net", "layers", "params", "paper: test error %", "test error %", "95 %, seeds", "95 %, images only",
    "training error %", "95 %, seeds", "training loss",
)  # fmt: skip
ORIENTATION = " The paper's numbers are those of its full schedule."


def table6(evidence: Evidence) -> Table:
    """Table 6's ResNets in its order, then the plain nets, which the paper shows in Fig. 6 only.

    The paper's numbers stand beside these nets on its data, at its schedule or a part of it, not beside a few minutes'
    runs.
    """
    nets, named = evidence.results.nets, own_recipes(evidence.results.nets)
    of_paper = all(net.startswith("plain") or paper_error(net) for net in map(str, named.index))
    beside = [printed(str(net)) for net in nets.index]
    shown = evidence.results.dataset.of_paper and not evidence.describes and set(beside) != {"–"}
    rows = [
        (
            display_name(str(net)) + missing(row),
            f"{row['depth']}",
            "–" if pd.isna(row["params"]) else f"{row['params'] / 1e6:.2f}M",
            *[printed(str(net))] * shown,
            *with_intervals(with_worst_case(evidence, str(net), TEST_ERROR), float(row["test_images"])),
            *with_intervals(with_worst_case(evidence, str(net), TRAIN_ERROR), None)[:2],
            of_net(evidence, str(net), TRAIN_LOSS),
        )
        for net, row in pd.concat([nets[nets["shortcut"] != "none"], nets[nets["shortcut"] == "none"]]).iterrows()
    ]
    header = [head for head in TABLE_6 if shown or not head.startswith("paper")]
    name = "table6" if evidence.of_paper and of_paper else "errors"
    note = caption(evidence.results) + ORIENTATION * (shown and not evidence.results.comparable)
    if words := baselines(evidence.results):
        note += BASELINE.format(words)
    return Table(header, rows, note=note, name=name)


STATISTICS = {
    "best": "best epoch on the test images", "last": "last epoch", "median": "median of five runs",
    "not said": "which epoch is not said",
}  # fmt: skip
NO_RUNS = "; none of the others names a number of runs"
OTHERS = (
    "Test errors in %, as their own pages print them{runs}. {about} The best epoch "
    "on the test images is optimistic (see the table below)."
)


def reproductions_table(evidence: Evidence) -> Table | None:
    """Table 6's nets beside other people's; None at another schedule or if nobody has one of the nets."""
    nets = evidence.results.nets
    known = [one for one in reproductions() if set(one["error"]) & set(nets.index[nets["n"] > 0])]
    if not evidence.results.comparable or not known:
        return None
    rows = []
    for net in map(str, nets.index):
        theirs = [f"{one['error'][net]:.2f}" if net in one["error"] else "–" for one in known]
        if set(theirs) != {"–"}:
            rows.append((display_name(net), printed(net), text_of(with_worst_case(evidence, net, TEST_ERROR)), *theirs))
    about = " ".join(
        f"{one['name']} ({one['source']}): {STATISTICS[one['statistic']]}, schedule: {one['schedule']}."
        for one in known
    )
    runs = "" if any(one["statistic"] == "median" for one in known) else NO_RUNS
    header = ("net", "paper", "here (n)", *(one["name"] for one in known))
    return Table(header, rows, note=OTHERS.format(about=about, runs=runs), name="others")


FOREST = (
    "Test errors here, in the paper and of published reproductions. Here with two 95 % intervals: over seeds (thick; "
    "Student's, from two seeds on; an arrow where it leaves the axis) and over test images (thin; Wilson's). The "
    "paper's ResNet-110 is its mean of five runs, 6.61 ± 0.16, with Student's interval. Open marks: the best epoch was "
    "chosen on the test images, which is optimistic."
)


def others(evidence: Evidence) -> list[Section]:
    """Other people's numbers and the paper's beside ours, as a table and as a forest plot."""
    table = reproductions_table(evidence)
    if table is None:
        return []
    alt = "Test error by net: here, in the paper, as reproduced by others"
    drawing = Drawing("forest", alt, FOREST, partial(forest, *forest_rows(evidence)))
    return [Section("Published reproductions", (table, drawing))]


PROTOCOLS = (
    "net", "split", "last step (reported)", "best on the test set", "optimism of the best", "held out",
)  # fmt: skip
HELD_OUT = Metric("val_error", "error on the held-out training images")
PROTOCOLS_NOTE = (
    "Test error in %. {seeds} All other results of this report are from the last step; the minimum over training is "
    "selected on the test set and shown for comparison only. Held out: the error after the last step on the tenth of "
    "the training images that the split 45k/5k keeps back; – where that split was not run."
)


def protocols(evidence: Evidence) -> Table | None:
    """The ways in which the field reads one number off a training, side by side."""
    rows = [
        (
            display_name(str(net)),
            one_of(part["split"]),
            text_of(with_worst_case(evidence, str(net), TEST_ERROR)),
            of_net(evidence, str(net), BEST_TEST_ERROR),
            f"{sample(part['test_error']).mean - sample(part['best_test_error']).mean:.2f}",
            of_net(evidence, str(net), HELD_OUT),
        )
        for net, part in evidence.results.done.groupby("net", sort=False)
    ]
    note = PROTOCOLS_NOTE.format(seeds=spread(evidence.results))
    return Table(PROTOCOLS, rows, text=2, note=note, name="protocols") if rows else None


def curves(evidence: Evidence, figure: int, error: str) -> Drawing | None:
    """Errors against iterations, as in that figure of the paper. error: the name of the test's."""
    results = evidence.results
    drawn = first_option(with_bn(results.runs))["id"]
    if not results.curves["id"].isin(drawn).any():
        return None
    plain = (results.runs.get("augment", pd.Series(dtype=str)) == "none").any()  # mixed ones are named by their recipes
    about = {"batches": "" if plain else "augmented ", "seeds": ONE_SEED if one_seed(results) else BAND}
    caption = CURVES.format(figure=figure, error=error, **about)
    if words := baselines(results):
        caption += OWN.format(words)
    if figure == 6 and results.comparable and not (results.runs["depth"] > figures.VERY_DEEP).any():
        caption += NO_RIGHT_PANEL
    return Drawing("curves", "Training and test error against iterations", caption, partial(figures.curves, results))


def _tradeoff(results: Set) -> list[Section]:
    """Where as many nets have a number as make a figure."""
    costs = figures.costs(results)
    if len(costs) < figures.FEWEST:
        return []
    timed = len(costs.columns) > len(figures.COMPUTED)
    alt = (
        f"Test error against depth, parameters{', multiply-adds and training time' if timed else ' and multiply-adds'}"
    )
    caption = TRADEOFF.format(seeds=ONE_SEED if one_seed(results) else INTERVAL)
    caption += (TIMES if timed else NO_TIMES).format(percent=100 * (STEADY - 1))
    return [Section("Accuracy against cost", (Drawing("tradeoff", alt, caption, partial(figures.tradeoff, results)),))]
