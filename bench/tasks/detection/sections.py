"""The report of detection transfer: AP of each net, what one gains over another on the same images (Tables 7 to 11)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.paper import paper_number
from bench.report.collect import arrays_digest
from bench.report.evidence import Evidence
from bench.report.frame import Set, display_name
from bench.report.render.figures import STYLE
from bench.report.sections import Drawing, Section, diverged, findings, of_tables
from bench.report.stats import of_percent, sample
from bench.report.tables import Table, anchor, low_to_high, mean_std, signed
from bench.report.verdicts import claims_sections, no_verdict
from bench.spec import OPTIONS, PRECISIONS_OF_BOXES
from bench.tasks.detection.average_precision import average_precision
from bench.tasks.detection.gains import POINTS, Detected, Gain, table_of

HEADER = (
    "net", "form", "AP50", "95 %, images", "95 %, seeds", "AP", "AP75", "AP small", "AP medium", "AP large",
    "VOC mAP, 11 points", "VOC mAP, every point",
)  # fmt: skip
NOTE = (
    "Percent; mean ± standard deviation over seeds (n). AP is COCO's, over IoU .50 to .95 (the paper's mAP@[.5,.95]); "
    "AP50 and AP75 at one IoU (mAP@.5). Small, medium, large: objects below 32², below 96², and above, in pixels of "
    "the image. Two uncertainties are kept apart: where AP50 would lie on other images (bootstrap over the {images} "
    "test images), and where the mean over other seeds would lie (Student's t, from two seeds on). After the last "
    "step, never the best on the way."
)
GAINS = (
    "what", "AP50 without", "AP50 with", "gain, points", "95 %, images", "95 %, seeds", "gain, relative",
    "gain in AP", "paper",
)  # fmt: skip
GAINS_NOTE = (
    "Each pair on the same test images; one interval is over images (paired bootstrap), the other over seeds (Welch, "
    "from two on; n = {seeds}). The paper's gains (Tables 7 and 8) are of ResNet-101 over VGG-16, on VOC in VOC's mAP."
)
WORDS = {"refined": "+ box refinement", "multi_scale": "+ testing in several scales"}
OPTIONS_NOTE = (
    "Table 9's options at test time, on the trained detectors as they are. Box refinement pools again from the "
    "regressed boxes, then votes (Appendix B)."
)
CURVES = (
    "Left the loss of the training windows (the four losses of Faster R-CNN added up), right AP50 on the test images; "
    "mean over seeds; dashed: random weights."
)
SHOWN = (
    "Detections with a score of 0.5 or more in the first test images, which are held out: green where they are hits at "
    "IoU .5, red and dashed where they are not, each with its class's first letter. The photographs are not published "
    "here: each run leaves the same detections drawn on them as `detections.png` in its folder of `runs/`."
)
BACKBONE = "AP50 against the classification error of what the backbone was trained to before, a mark a net."


def ap_table(results: Set, found: Detected, id_of: Callable[..., str]) -> Table:
    """A row a net."""
    rows = [_row(found, id_of, str(net), part) for net, part in results.done.groupby("net", sort=False)]
    return Table(HEADER, rows, text=2, note=NOTE.format(images=_images(results)), name="detection")


def _images(results: Set) -> str:
    return " or ".join(sorted({f"{int(n):,}" for n in results.done["test_images"]}))


def _row(found: Detected, id_of: Callable[..., str], net: str, part: pd.DataFrame) -> tuple[str, ...]:
    def shown(metric: str) -> str:
        ours = sample(part[metric])
        return anchor(id_of(net, metric)) * bool(ours.n) + mean_std(ours.mean, ours.std, ours.n)

    return (
        display_name(net),
        str(part["detection_form"].iloc[0]).upper(),
        shown("ap50"),
        low_to_high(found.over_images.get(net)),
        low_to_high(of_percent(sample(part["ap50"]).interval)),
        *(shown(metric) for metric in PRECISIONS_OF_BOXES if metric != "ap50"),
    )


def gains_table(results: Set, found: Detected, id_of: Callable[..., str]) -> Table | None:
    """Tables 7 and 8's statement: with against without, absolute and relative."""
    if not found.gains:
        return None
    rows = [
        (
            gain.words,
            f"{gain.ap50[0]:.2f}",
            f"{gain.ap50[1]:.2f}",
            anchor(id_of(gain.key)) + signed(gain.difference),
            low_to_high(gain.interval),
            low_to_high(gain.over_seeds),
            f"{signed(100 * gain.difference / gain.ap50[0])} %" if gain.ap50[0] else "–",
            signed(gain.ap[1] - gain.ap[0]),
            _papers(results, gain),
        )
        for gain in found.gains
    ]
    seeds = " or ".join(sorted({f"{a}, {b}" for a, b in (gain.seeds for gain in found.gains)}))
    return Table(GAINS, rows, note=GAINS_NOTE.format(seeds=seeds), name="gains")


def _papers(results: Set, gain: Gain) -> str:
    """The paper's gain of these two nets, where it prints both."""
    metric = "ap50" if results.data.startswith("coco") else "voc07_map"
    both = [paper_number(net, metric) for net in (gain.first, gain.second)]
    if not results.comparable or None in both:
        return "–"
    first, second = (float(number["value"]) for number in both if number)
    return f"{signed(second - first)} ({signed(100 * (second - first) / first)} %)"


def options_table(results: Set, id_of: Callable[..., str]) -> Table | None:
    """Table 9: a row a net and option, beside the plain test."""
    rows = []
    for net, part in results.done.groupby("net", sort=False):
        used = [option for option in OPTIONS if part[f"{option}_ap50"].notna().any()]
        for option in ["", *used] if used else []:
            cells = []
            for metric in ("ap50", "ap"):
                column = f"{option}_{metric}" if option else metric
                ours = sample(part[column])
                cells.append((anchor(id_of(str(net), column)) * bool(option)) + mean_std(ours.mean, ours.std, ours.n))
            rows.append((display_name(str(net)), WORDS.get(option, "the plain test"), *cells))
    header = ("net", "test", "AP50", "AP")
    return Table(header, rows, text=2, note=OPTIONS_NOTE, name="options") if rows else None


def classes_table(results: Set) -> Table | None:
    """Tables 10 and 11: AP50 of each class, mean over seeds."""
    names = str(results.done["classes"].iloc[0]).split()
    rows = []
    for net, part in results.done.groupby("net", sort=False):
        if all(f"{name}::label" in results.matches for name in part["id"]):
            each = [
                [average_precision(m, POINTS) for m in table_of(results.matches, name).matches()] for name in part["id"]
            ]
            means = np.mean(each, axis=0)
            rows.append((display_name(str(net)), *("–" if math.isnan(v) else f"{v:.1f}" for v in means)))
    note = "AP50 of each class in percent, mean over seeds: Tables 10 and 11 have VOC's AP."
    return Table(("net", *names), rows, note=note, name="classes") if rows else None


def said(found: Detected) -> list[str]:
    """Each gain in words, and whether other images would show it too."""
    lines = []
    for gain in found.gains:
        clear = gain.interval.low > 0 or gain.interval.high < 0
        how = "clear of chance over images" if clear else "other images could show the opposite"
        lines.append(
            f"{gain.words}: {signed(gain.difference)} points of AP50 (95 % over images "
            f"{low_to_high(gain.interval)}), {how}; n = {gain.seeds[0]}, {gain.seeds[1]} seeds."
        )
    return lines or ["Too few runs are done to say anything."]


def _colours(results: Set) -> dict[str, Any]:
    nets = [str(net) for net in dict.fromkeys(results.done["net"])]
    return dict(zip(nets, sns.color_palette("colorblind", len(nets)), strict=True))


def curves(results: Set) -> Figure:
    """Loss and AP50 against iterations, a line a net."""
    frame = results.curves.merge(results.done[["id", "net", "weights"]], on="id")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for net, colour in _colours(results).items():
            part = frame[frame["net"] == net].assign(ap50=lambda rows: 100 - rows["test_error"])
            style = "-" if part["weights"].fillna("").iloc[0] else "--"
            for ax, column, mark in ((left, "loss", ""), (right, "ap50", "o")):
                mean = part.dropna(subset=[column]).groupby("step")[column].mean()
                ax.plot(mean.index, mean, style, marker=mark, ms=4, color=colour, lw=1.5, label=display_name(net))
        left.set(xlabel="iterations", ylabel="training loss", ylim=(0, None))
        right.set(xlabel="iterations", ylabel="AP50 (%)", ylim=(0, 100), xlim=(0, None))
        left.legend(fontsize=7, frameon=False)
    return figure


def boxes(results: Set) -> Figure:
    """A row a net (its first seed), a column an image: what was found, on an empty canvas of the image's size."""
    runs = [(net, name) for net, name in _shown_runs(results)]
    images = max(len(results.matches[f"{name}:shown_size"]) for _, name in runs)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 * images, 2.25 * len(runs)), layout="constrained")
        axes = figure.subplots(len(runs), images, squeeze=False)
        for row, (net, name) in zip(axes, runs, strict=True):
            arrays = [results.matches[f"{name}:{part}"] for part in ("shown", "shown_size", "shown_objects")]
            classes = str(results.done.set_index("id").loc[name, "classes"]).split()
            for number, ax in enumerate(row):
                if number < len(arrays[1]):
                    mine = arrays[0][arrays[0][:, 0] == number]
                    _canvas(ax, mine, arrays[1][number], int(arrays[2][number]), classes)
            row[0].set_ylabel(display_name(net).replace(", ", ",\n"), fontsize=7)
    return figure


def _shown_runs(results: Set) -> list[tuple[str, str]]:
    first = results.done.sort_values("seed").drop_duplicates("net")
    named = [(str(net), str(name)) for net, name in zip(first["net"], first["id"], strict=True)]
    return [pair for pair in named if f"{pair[1]}:shown" in results.matches]


def _canvas(ax: Axes, rows: NDArray[Any], size: NDArray[Any], objects: int, classes: Sequence[str]) -> None:
    for _, label, _, x1, y1, x2, y2, hit in rows:
        colour, style = ("#12803a", "-") if hit else ("#c01f2e", "--")
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, ls=style, lw=1.0))
        ax.text(x1 + 2, y1 + 2, classes[int(label) - 1][:1], fontsize=5, color=colour, va="top")
    hits = int(rows[:, 7].sum())
    ax.set_title(f"{hits} of {objects} found, {len(rows) - hits} false", fontsize=7)
    ax.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="equal", xticks=[], yticks=[])


def backbone(results: Set) -> Figure:
    """AP50 against the classification error of the backbone's source."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        ax = figure.subplots()
        for net, colour in _colours(results).items():
            part = results.done[(results.done["net"] == net) & results.done["source_error"].notna()]
            if len(part):
                ax.plot(part["source_error"], part["ap50"], "o", color=colour, label=display_name(net))
        ax.set(xlabel="classification error of the source (%)", ylabel="AP50 (%)")
        ax.legend(fontsize=7, frameon=False)
    return figure


def sections(evidence: Evidence) -> list[Section]:
    """What a page says of detection: gains, AP, options, classes, curves, what was found."""
    results, found = evidence.results, evidence.detected
    lines = [*diverged(results), *no_verdict(results)]
    if not found:
        return [findings(["Nothing is done yet.", *lines])]
    tables = (
        ("What a backbone gives (Tables 7 and 8)", gains_table(results, found, evidence.id)),
        ("Average precision", ap_table(results, found, evidence.id)),
        ("Options at test time (Table 9)", options_table(results, evidence.id)),
        ("By class (Tables 10 and 11)", classes_table(results)),
    )
    about_claims = any(one.links for one in evidence.judged)  # scale quick is about none of them
    return [
        findings([*said(found), *lines]),
        *(claims_sections(evidence) if about_claims else []),
        *of_tables(*tables),
        *_figures(results),
    ]


def _figures(results: Set) -> list[Section]:
    sources = results.done.dropna(subset=["source_error"])["net"].nunique()
    found = [
        ("Curves", Drawing("curves", "Training loss and AP50 against iterations", CURVES, partial(curves, results)))
    ]
    if _shown_runs(results):
        alt = "What was found in held-out images"
        found.append(("Detections", Drawing("detections", alt, SHOWN, partial(boxes, results))))
    if sources > 1:
        alt = "AP50 against the classification error of the source"
        found.append(("The backbone before", Drawing("backbone", alt, BACKBONE, partial(backbone, results))))
    return [Section(heading, (drawing,)) for heading, drawing in found]


def problems(row: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What in a detector's row does not follow from what became of its detections.

    arrays: those of all runs, `<id>:<option>:<field>`.
    """
    start = f"{row['id']}:"
    own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
    if arrays_digest(own) != row["matches_sha256"]:
        yield "what became of its detections is not what the run wrote (SHA-256)"
    for option in options_of(row):
        yield from _option_problems(row, option, arrays)


def options_of(row: Mapping[str, str]) -> list[str]:
    """The ways in which a detector was tested, as its recipe says: "" is the plain one."""
    asked = {"refined": row["detection_refine"] == "True", "multi_scale": bool(row["detection_scales"])}
    return ["", *(option for option in OPTIONS if asked[option])]


def _option_problems(row: Mapping[str, str], option: str, arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    words = f" ({option})" * bool(option)
    try:
        table = table_of(arrays, row["id"], option)
    except (KeyError, ValueError) as error:
        yield f"what became of its detections{words} is missing or damaged: {error}"
        return
    classes, images = table.voc_positives.shape
    if images != int(row["test_images"]) or classes != len(row["classes"].split()):
        yield f"its detections{words} are of {images:,} images and {classes} classes"
    numbers = table.numbers()
    expected = {f"{option}_{name}" if option else name: value for name, value in numbers.items()}
    expected |= {} if option else {"test_error": 100 - numbers["ap50"]}
    for metric, value in expected.items():
        said = float(row[metric]) if row.get(metric) else math.nan
        if not (math.isclose(said, value, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(said) and math.isnan(value))):
            yield f"{metric} is {row.get(metric) or 'missing'}, and its detections say {value}"
