"""Tables as markdown: every number with its n, nothing typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.paper import paper_error, reproductions
from bench.report.evidence import Evidence
from bench.report.frame import NETS, Set, display_name, first_option, nets_of, with_bn
from bench.report.numbers import (
    BEST_TEST_ERROR,
    TEST_ERROR,
    TRAIN_ERROR,
    TRAIN_LOSS,
    Cell,
    Metric,
    Number,
    of_net,
    parts,
)
from bench.report.stats import Interval, sample, wilson

MIXED = {
    "commits": "commit", "hardware": "hardware", "data": "data_sha256", "torch versions": "torch",
    "Python versions": "python", "thread counts": "threads", "process counts": "processes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """The first `text` columns are text, flush left, the others flush right. note: what stands below.

    name: of its LaTeX file, "" for none.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text: int = 1
    note: str = ""
    name: str = ""

    def markdown(self) -> str:
        """The table without its note; each number after the anchor of its id, for links to it."""
        rule = [*["---"] * self.text, *["--:"] * (len(self.header) - self.text)]
        lines = (self.header, rule, *self.rows)
        return "\n".join("| " + " | ".join("; ".join(map(_anchored, parts(c))) for c in line) + " |" for line in lines)


def _anchored(part: str | Number) -> str:
    return f'<a id="{part.id}"></a>{part}' if isinstance(part, Number) else part


def code(text: str) -> str:
    """A text from outside, such as an error, as it is: markdown finds nothing in it."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "¦").split()) + "`"


def low_to_high(interval: Interval | None, digits: int = 2) -> str:
    """`6.41 to 6.81`; there is no interval below two seeds."""
    text = f"{interval.low:.{digits}f} to {interval.high:.{digits}f}" if interval else "–"
    return text.replace("-", "−")


def signed(number: float) -> str:
    """`+0.12`, `−1.33`."""
    return f"{round(number, 2) + 0.0:+.2f}".replace("-", "−")  # and no −0.00


def p_words(p: float) -> str:
    """`0.017`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def printed(net: str) -> str:
    """What the paper prints for a net in Table 6."""
    number = paper_error(net)
    if number is None:
        return "–"
    if "mean" in number:
        return f"{number['value']:.2f} ({number['mean']:.2f} ± {number['std']:.2f}, n = {number['n']})"
    return f"{number['value']:.2f}"


TABLE_6 = (
    "net", "layers", "params", "paper: test error %", "test error %", "95 %, seeds", "95 %, test images",
    "training error %", "training loss",
)  # fmt: skip


def table6(evidence: Evidence) -> Table:
    """Table 6's ResNets in its order, then the plain nets, which the paper shows in Fig. 6 only."""
    nets = evidence.results.nets
    rows = [
        (
            display_name(str(net)) + missing(row),
            f"{row['depth']}",
            f"{row['params'] / 1e6:.2f}M",
            printed(str(net)),
            *with_intervals(of_net(evidence, str(net), TEST_ERROR), row["test_images"]),
            of_net(evidence, str(net), TRAIN_ERROR),
            of_net(evidence, str(net), TRAIN_LOSS),
        )
        for net, row in pd.concat([nets[nets["shortcut"] != "none"], nets[nets["shortcut"] == "none"]]).iterrows()
    ]
    return Table(TABLE_6, rows, note=caption(evidence.results), name="table6")


STATISTICS = {
    "best": "best epoch on the test images", "last": "last epoch", "median": "median of five runs",
    "not said": "which epoch is not said",
}  # fmt: skip
NO_RUNS = "; none of the others names a number of runs"
OTHERS = (
    "Test errors in %, as their own pages print them{runs}. {about} A best epoch "
    "chosen on the test images flatters (see the protocols below)."
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
            rows.append((display_name(net), printed(net), str(of_net(evidence, net, TEST_ERROR)), *theirs))
    about = " ".join(
        f"{one['name']} ({one['source']}): {STATISTICS[one['statistic']]}, schedule: {one['schedule']}."
        for one in known
    )
    runs = "" if any(one["statistic"] == "median" for one in known) else NO_RUNS
    header = ("net", "paper", "here (n)", *(one["name"] for one in known))
    return Table(header, rows, note=OTHERS.format(about=about, runs=runs), name="others")


def with_intervals(error: Number | str, images: float) -> tuple[Cell, str, str]:
    """A net's error, where its mean over other seeds would lie, and where it would on other images."""
    if isinstance(error, str):
        return error, "–", "–"
    return error, low_to_high(error.interval), low_to_high(wilson(error.value, int(images)))


def caption(results: Set, views: str = ", one view each", what: str = "test images") -> str:
    """What stands under a table of errors: protocol, n, and what is mixed, left out or failed."""
    done, images = results.done, one_of(results.done["test_images"].map("{:,.0f}".format))
    words = [
        f"Mean ± standard deviation over seeds (n). The test error is the last step's, on {images or 'the'} "
        f"{what}{views}; the training error and loss are means over the last training window.",
        "Two 95 % intervals are given: Student's t for the mean over seeds (n ≥ 2) and Wilson's for the sampling of "
        f"{what}.",
    ]
    mixed = [word for word, column in MIXED.items() if done[column].nunique() > 1]
    words += [f"The rows mix {' and '.join(mixed)}."] if mixed else []
    if results.scale != "paper":
        words.append("The paper's numbers are there for orientation; they belong to its full schedule.")
    if results.others:
        words.append(f"{results.others} finished runs of other recipes than the sweep's present ones are left out.")
    failed = results.runs[results.runs["state"] == "failed"]
    words += [f"Failed: `{row['id']}`: {code(row['error_message'])}." for _, row in failed.iterrows()]
    return " ".join(words)


def one_of(values: pd.Series[str]) -> str:
    """The one value, or all of them."""
    return "; ".join(sorted({str(v) for v in values}))


PROTOCOLS = (
    "net", "split", "last step: the number", "best on test: never the number", "optimism of the best", "5k held out",
)  # fmt: skip
HELD_OUT = Metric("val_error", "error on the 5,000 held-out training images")
PROTOCOLS_NOTE = (
    "Test error in %, mean ± standard deviation over seeds (n). All results of this report are from the last step; the "
    "minimum over training is selected on the test set and shown for comparison only. Held out: the error on the 5,000 "
    "training images that the split 45k/5k keeps back, after the last step, if it was run."
)


def protocols(evidence: Evidence) -> Table:
    """The ways in which the field reads one number off a training, side by side."""
    rows = [
        (
            display_name(str(net)),
            one_of(part["split"]),
            str(of_net(evidence, str(net), TEST_ERROR)),
            of_net(evidence, str(net), BEST_TEST_ERROR),
            f"{sample(part['test_error']).mean - sample(part['best_test_error']).mean:.2f}",
            of_net(evidence, str(net), HELD_OUT),
        )
        for net, part in evidence.results.done.groupby("net", sort=False)
    ]
    return Table(PROTOCOLS, rows, text=2, note=PROTOCOLS_NOTE, name="protocols")


def missing(row: pd.Series[Any]) -> str:
    """What a row of `Set.nets` has to say of seeds without a number."""
    declared, failed = int(row["declared"]), int(row["failed"])
    words = [f"{failed} failed"] if failed else []
    if left := declared - int(row["n"]) - failed:
        words.append(f"{left} of {declared} not run")
    return f" ({', '.join(words)})" if words else ""


def differences(results: Set) -> list[str]:
    """For each depth that has both, what the paper's residual net changes, in words; with BN."""
    nets = first_option(with_bn(results.nets))
    nets = nets[(nets["n"] > 0) & nets_of(nets).isin(NETS[:2])]
    plain, residual = (
        nets[part].set_index("depth") for part in (nets["shortcut"] == "none", nets["shortcut"] != "none")
    )
    lines = []
    for depth in sorted(set(plain.index) & set(residual.index)):
        p, r = plain.loc[depth], residual.loc[depth]
        lines.append(
            f"At {depth} layers the residual net's training loss is "
            f"{change(r['train_loss_mean'] - p['train_loss_mean'], 3)} "
            f"({r['train_loss_mean']:.3f} against {p['train_loss_mean']:.3f}) and its test error "
            f"{change(r['test_error_mean'] - p['test_error_mean'], 2, ' points')} "
            f"({r['test_error_mean']:.2f} % against {p['test_error_mean']:.2f} %); n = {r['n']} and {p['n']}."
        )
    return lines


def change(difference: float, digits: int, unit: str = "") -> str:
    """`0.12 points lower`, `the same`."""
    size = f"{abs(difference):.{digits}f}"
    if float(size) == 0:
        return "the same"
    return f"{size}{unit} {'lower' if difference < 0 else 'higher'}"


def with_depth(results: Set) -> list[str]:
    """How the training error changes with depth, for plain nets, residual nets and other units; with BN."""
    nets = first_option(with_bn(results.nets))
    nets = nets[nets["n"] > 0]
    lines = []
    for name in NETS:
        errors = nets[nets_of(nets) == name].set_index("depth")["train_error_mean"]
        if len(errors) > 1:
            steps = ", ".join(f"{depth} layers {error:.2f} %" for depth, error in errors.items())
            grown = errors.iloc[-1] - errors.iloc[0]
            lines.append(
                f"Training error of {name} nets by depth: {steps}; the deepest is "
                f"{change(grown, 2, ' points')}{' than' if round(abs(grown), 2) else ' as'} the shallowest."
            )
    return lines
