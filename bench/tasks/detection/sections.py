"""The report of detection transfer: AP of each net, what one gains over another on the same images (Tables 7 to 10)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.paper import paper_number
from bench.report.evidence import Evidence
from bench.report.frame import Set, display_name
from bench.report.numbers import Cell, Metric, Number, of_net, of_starts, reached, signed, with_worst_case
from bench.report.sections import Drawing, Findings, Section, diverged, of_tables, over, shared_starts, told_apart
from bench.report.tables import APART, Table, plain, spread, with_intervals
from bench.spec import OPTIONS
from bench.store import StoreError
from bench.store.manifest import arrays_digest
from bench.tasks.detection import figures
from bench.tasks.detection.average_precision import AREAS, average_precision
from bench.tasks.detection.gains import POINTS, Detected, Gain, commits_apart, detected, table_of

HEADER = (
    "net", "form", "AP50", "95 %, seeds", "95 %, images only", "AP", "AP75", "AP small", "AP medium", "AP large",
    "VOC mAP, 11 points", "VOC mAP, every point", "error of the source",
)  # fmt: skip
NOTE = (
    "In percent, after the last step. {spread} AP is COCO's, over IoU .50 to .95 (the paper's mAP@[.5,.95]); AP50 and "
    "AP75 at one IoU (mAP@.5). Small, medium, large: objects below 32², from 32² to 96², and above, in pixels of the "
    "image{sizes}. Two 95 % intervals of AP50: Student's t over seeds (n ≥ 2), and a jackknife over the {images} test "
    "images only, the trained detectors as they are."
)
OF_SOURCE = " Source: the classifier that the backbone was taken from; its error counts once (n), not once a detector."
GAINS = (
    "what", "AP50 without", "AP50 with", "gain, points", "95 %, seeds", "95 %, images only", "gain, relative",
    "gain in AP", "paper",
)  # fmt: skip
GAINS_NOTE = (
    "Each pair on the same test images. The gain in AP50 has two intervals: over seeds (Welch; n = {seeds}), and over "
    "images only (jackknife, the same images left out for both; the trained detectors as they are); the relative gain "
    "and that in AP have none."
)
OF_SIZES = (
    "; each is the mean over the classes that have such objects ({sizes}), where a class with few weighs as much as "
    "any, so that AP can lie above all three"
)
PAPERS_GAINS = " The paper's gain is of ResNet-101 over VGG-16, on VOC in VOC's mAP."
AP50, AP = Metric("ap50", "AP at IoU .5", guess=0.0), Metric("ap", "AP over IoU .50 to .95", guess=0.0)
METRICS = (  # in the order of HEADER, before SOURCE_ERROR
    AP50,
    AP,
    Metric("ap75", "AP at IoU .75"),
    *(Metric(f"ap_{size}", f"AP of {size} objects") for size in ("small", "medium", "large")),
    Metric("voc07_map", "VOC mAP, 11 points"),
    Metric("voc12_map", "VOC mAP, every point"),
)
SOURCE_ERROR = Metric("source_error", "classification error of the backbone's source", bounds=None)
HOW = {"refined": "box refinement", "multi_scale": "testing in several scales (and box refinement)"}
OPTIONS_NOTE = (
    "The trained detectors, tested otherwise. Box refinement (the paper's Appendix B) pools again from the regressed "
    "boxes, then votes. What a test gains over another has no interval here."
)
CURVES = (
    "Left the loss of the training windows (the four losses of Faster R-CNN added up), right AP50 on the test images; "
    "mean over the seeds (n = {n}), and a band from the lowest to the highest where there are several."
)
SHOWN = (
    "Boxes in the first test images, which are held out, by the first seed of each net; {letters}. "
    "Solid green: a detection with a score of 0.5 or more that is a hit at IoU .5. Dashed red: one that is not. "
    "{missed} In these images {counts}; so few are no measure of AP. The photographs are not published here: each run "
    "leaves the same detections drawn on them as `detections.png` in its folder of `runs/`."
)
LETTERS = (
    "a letter is the first of a class",
    "the letters are the first of a class, as many as tell it from the others",
)
MISSED = "Dotted and filled grey: an object that none of them hits."
NOT_KEPT = (
    "Objects that none of them hits are counted, not drawn: these runs did not keep where they are, as later ones do."
)
VOC_AP = " The paper has VOC's AP."
TABLES = {  # of the paper, by data set: gains of a backbone, options at test time, AP by class
    "voc07+12": ("Table 7", "", "Table 10"),
    "coco14": ("Table 8", "Table 9", ""),
}
BACKBONE = "AP50 against the error of the classifier from which the backbone was taken, a mark a net."


def ap_table(evidence: Evidence, found: Detected) -> Table:
    """A row a net."""
    rows: list[tuple[Cell, ...]] = []
    for name, part in evidence.results.done.groupby("net", sort=False):
        net, form = str(name), str(part["detection_form"].iloc[0]).upper()
        ap50, ap = (with_worst_case(evidence, net, metric) for metric in METRICS[:2])
        others = (of_net(evidence, net, metric) for metric in METRICS[2:])
        source = of_net(evidence, net, SOURCE_ERROR, part.drop_duplicates("weights"))
        rows.append((display_name(net), form, *with_intervals(ap50, found.over_images.get(net)), ap, *others, source))
    images = " or ".join(sorted({f"{int(n):,}" for n in evidence.results.done["test_images"]}))
    sizes = OF_SIZES.format(sizes=one) if (one := _sizes(evidence.results)) else ""
    note = f"{NOTE.format(spread=spread(evidence.results), images=images, sizes=sizes)} {APART}"
    if evidence.results.done["source_error"].isna().all():
        note += shared_starts(evidence.results)
        return Table(HEADER[:-1], [row[:-1] for row in rows], text=2, note=note, name="detection")
    note += OF_SOURCE + shared_starts(evidence.results)
    return Table(HEADER, rows, text=2, note=note, name="detection")


def _sizes(results: Set) -> str:
    """`small: 5 in 1 class; medium: 277 in 2 classes, 63 in the rarest`: of the first run's test; "" where not kept."""
    first = next((name for name in results.done["id"] if f"{name}::label" in results.matches), None)
    if first is None:
        return ""
    told: list[str] = []
    for size, by_image in zip(AREAS[1:], table_of(results.matches, first).positives[1:], strict=True):
        there = [int(n) for n in by_image.sum(axis=1) if n]
        rarest = f", {min(there):,} in the rarest" if len(there) > 1 else ""
        told.append(f"{size}: {sum(there):,} in {len(there)} class{'es' * (len(there) != 1)}{rarest}")
    return "; ".join(told)


def gains_table(evidence: Evidence, found: Detected) -> Table | None:
    """Tables 7 and 8's statement: with against without, absolute and relative."""
    if not found.gains:
        return None
    rows: list[tuple[Cell, ...]] = []
    for gain in found.gains:
        number, (without, own) = gained(evidence, gain), gain.ap50
        relative = f"{signed(100 * gain.difference / without)} %" if without else "–"
        ranges = map(number.range, (gain.over_seeds, gain.over_images))
        more = relative, signed(gain.ap[1] - gain.ap[0]), _papers(evidence.results, gain)
        rows.append((gain.words, f"{without:.2f}", f"{own:.2f}", number, *ranges, *more))
    seeds = " or ".join(sorted({f"{a}, {b}" for a, b in (gain.seeds for gain in found.gains)}))
    note = GAINS_NOTE.format(seeds=seeds) + shared_starts(evidence.results)
    note += "".join(commits_apart(evidence.results, gain) for gain in found.gains)
    if all(row[-1] == "–" for row in rows):
        return Table(GAINS[:-1], [row[:-1] for row in rows], note=note, name="gains")
    return Table(GAINS, rows, note=note + PAPERS_GAINS, name="gains")


def gained(evidence: Evidence, gain: Gain) -> Number:
    """The gain in AP50 with its intervals."""
    return Number(
        id=evidence.id(f"gain-{gain.first}-{gain.second}"),
        what=f"{gain.words}, AP at IoU .5 on the same images, difference",
        value=gain.difference,
        n=min(gain.seeds),
        ns=gain.seeds[::-1],
        over_seeds=of_starts(evidence, gain.over_seeds, gain.runs),
        over_images=gain.over_images,
        runs=gain.runs,
    )


def _papers(results: Set, gain: Gain) -> str:
    """The paper's gain of these two nets, where it prints both."""
    metric = "ap50" if results.data.startswith("coco") else "voc07_map"
    both = [paper_number(net, metric, results.data) for net in (gain.first, gain.second)]
    if not results.comparable or None in both:
        return "–"
    first, second = (float(number["value"]) for number in both if number)
    return f"{signed(second - first)} ({signed(100 * (second - first) / first)} %)"


def options_table(evidence: Evidence) -> Table | None:
    """Table 9: a row a net and option, beside the plain test."""
    rows: list[tuple[Cell, ...]] = []
    for name, part in evidence.results.done.groupby("net", sort=False):
        net, used = str(name), [option for option in OPTIONS if part[f"{option}_ap50"].notna().any()]
        if used:
            rows.append((display_name(net), "the plain test", *(str(of_net(evidence, net, m)) for m in (AP50, AP))))
        for option in used:
            how = HOW[option]
            tested = (replace(m, column=f"{option}_{m.column}", words=f"{m.words} with {how}") for m in (AP50, AP))
            rows.append((display_name(net), f"+ {how.partition(' (')[0]}", *(of_net(evidence, net, m) for m in tested)))
    header = ("net", "test", "AP50", "AP")
    return Table(header, rows, text=2, note=OPTIONS_NOTE, name="options") if rows else None


def _papers_tables(results: Set) -> tuple[str, str, str]:
    """The names of the paper's tables of gains, options and classes that these runs are beside."""
    return TABLES.get(results.data, ("", "", "")) if results.comparable else ("", "", "")


def classes_table(results: Set, found: Detected) -> Table | None:
    """Table 10: AP50 of each class, mean over seeds."""
    names = map(plain, str(results.done["classes"].iloc[0]).split(" "))
    rows = []
    for net, runs in found.matches.items():
        means = np.mean([[average_precision(one, POINTS) for one in of_run] for of_run in runs], axis=0)
        rows.append((display_name(net), *("–" if math.isnan(v) else f"{v:.1f}" for v in means)))
    n = _seeds(len(runs) for runs in found.matches.values())
    note = f"AP50 of each class in percent, mean over seeds (n = {n}), without an interval."
    note += VOC_AP * bool(_papers_tables(results)[2])
    return Table(("net", *names), rows, note=note, name="classes") if rows else None


def _seeds(counts: Iterable[int]) -> str:
    """`2`, `1 or 2`."""
    return " or ".join(map(str, sorted(set(counts))))


def gain_findings(evidence: Evidence, found: Detected) -> list[str]:
    """Each gain in words, and which of its intervals exclude 0."""
    lines = []
    for gain in found.gains:
        number = gained(evidence, gain)
        lines.append(
            f"{gain.words}: {number.printed()} points of AP50 ({over(number)}), {gain.ap50[1]:.2f} % against "
            f"{gain.ap50[0]:.2f} % (n = {gain.seeds[1]} and {gain.seeds[0]}). {told_apart(number)}"
        )
    return lines or [reached(evidence, "AP50", AP50)]


def findings(evidence: Evidence) -> Findings:
    """What one backbone gains over another, loss and AP50 against iterations; AP, options, classes, detections."""
    results = evidence.results
    if not len(results.done):
        return Findings(["No run has ended with a number."], said=diverged(results))
    found = detected(results)
    gains, options, classes = _papers_tables(results)
    tables = of_tables(
        (evidence.named("AP50 by backbone", gains), gains_table(evidence, found)),
        ("Average precision", ap_table(evidence, found)),
        (evidence.named("AP with options at test time", options), options_table(evidence)),
        (evidence.named("AP50 by class", classes), classes_table(results, found)),
    )
    lines = gain_findings(evidence, found)
    (_, figure), *others = _figures(results)
    return Findings(
        lines[:3],
        figure,
        tables[0],
        [*diverged(results), *lines[3:]],
        [*tables[1:], *(Section(heading, (drawing,)) for heading, drawing in others)],
    )


def _figures(results: Set) -> Iterator[tuple[str, Drawing]]:
    """Each with its heading."""
    alt = "Training loss and AP50 against iterations"
    caption = CURVES.format(n=_seeds(results.done.groupby("net").size()))
    yield alt, Drawing("curves", alt, caption, partial(figures.curves, results))
    if figures.shown_runs(results):
        alt = "Detections in held-out images"
        missed, counts = MISSED if figures.keeps_missed(results) else NOT_KEPT, figures.shown_counts(results)
        found = ", ".join(
            f"{display_name(net).replace(', ', ' ')} finds {hits} of {there} objects (and {false} false)"
            for net, hits, there, false in counts
        )
        letters = LETTERS[not figures.one_letter(results)]
        caption = SHOWN.format(letters=letters, missed=missed, counts=found)
        yield alt, Drawing("detections", alt, caption, partial(figures.boxes, results))
    if results.done.dropna(subset=["source_error"])["net"].nunique() > 1:
        alt = "AP50 against the classification error of the source"
        yield alt, Drawing("backbone", alt, BACKBONE, partial(figures.backbone, results))


def problems(row: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What in a detector's row does not follow from its matches.

    arrays: those of all runs, `<id>:<option>:<field>`.
    """
    start = f"{row['id']}:"
    own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
    if arrays_digest(own) != row["matches_sha256"]:
        yield "its matches are not those that the run wrote (SHA-256)"
    # the ways in which its recipe asks for tests: "" is the plain one
    asked = {"refined": row["detection_refine"] == "True", "multi_scale": bool(row["detection_scales"])}
    for option in ("", *(option for option in OPTIONS if asked[option])):
        yield from _option_problems(row, option, arrays)


def _option_problems(row: Mapping[str, str], option: str, arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    words = f" ({option})" * bool(option)
    try:
        table = table_of(arrays, row["id"], option)
    except StoreError as error:
        yield str(error)
        return
    classes, images = table.voc_positives.shape
    if images != int(row["test_images"]) or classes != len(row["classes"].split(" ")):
        yield f"its matches{words} are of {images:,} images and {classes} classes"
    numbers = table.numbers()
    expected = {f"{option}_{name}" if option else name: value for name, value in numbers.items()}
    expected |= {} if option else {"test_error": 100 - numbers["ap50"]}
    for metric, value in expected.items():
        given = float(row[metric]) if row.get(metric) else math.nan
        if not (math.isclose(given, value, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(given) and math.isnan(value))):
            yield f"{metric} is {row.get(metric) or 'missing'}, and its matches say {value}"
