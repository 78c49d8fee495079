"""Forged pairs of faces, detections, ensembles, and further results of runs."""

from __future__ import annotations

import numpy as np

from bench.report import repeats
from bench.report.rows import as_csv, read_rows
from bench.tasks.classification.imagenet.ensembles import FILE as ENSEMBLES
from bench.tasks.classification.imagenet.ensembles import read_ensembles
from bench.tasks.detection.average_precision import MatchTable
from bench.tasks.verification.roc import Roc, across_folds
from tests.forgeries.base import Forged, Forgery
from tests.forgeries.invented import flipped, fresh_digest, wiggle, with_error
from tests.forgeries.left import Left


def _judge_pairs(left: Left) -> None:
    """All that follows from the scores of the pairs."""
    scores, same = np.array(left.result["pair_scores"]), np.array(left.result["pair_same"], bool)
    left.judge(across_folds(scores, same, left.result["pair_fold"]))
    left.result |= Roc.of(scores, same).columns()
    left.settle()


def scores_pulled_apart(base: Forged) -> None:
    """Same pairs score a little higher, different ones lower: errors, ROC and folds follow."""
    left = base.left("resnet-20-A-quick-s0")
    same = np.array(left.result["pair_same"], bool)
    left.result["pair_scores"] = (np.array(left.result["pair_scores"]) + np.where(same, 0.04, -0.04)).tolist()
    _judge_pairs(left)
    base.put(left)
    base.renew()


def truths_turned(base: Forged) -> None:
    """Thirty pairs that were judged wrong are said to be what they were taken for."""
    left = base.left("resnet-20-A-quick-s0")
    wrong = np.flatnonzero(~left.right())[:30]
    for place in wrong:
        left.result["pair_same"][place] = 1 - left.result["pair_same"][place]
    _judge_pairs(left)
    base.put(left)
    base.renew()


def other_folds(base: Forged) -> None:
    """The pairs are dealt into other folds, those of a hundred tried that give the lowest error."""
    left = base.left("resnet-32-A-quick-s0")
    scores, same = np.array(left.result["pair_scores"]), np.array(left.result["pair_same"], bool)
    deals = [base.rng.permutation(np.array(left.result["pair_fold"])) for _ in range(20)]
    best = min(deals, key=lambda fold: int((~across_folds(scores, same, fold)).sum()))
    left.result["pair_fold"] = best.tolist()
    _judge_pairs(left)
    base.put(left)
    base.renew()


def a_worse_baseline(base: Forged) -> None:
    """The net before its first step and the pixels are worse, with the bits to it: the net gains more."""
    left = base.left("resnet-20-A-quick-s0")
    for metric in ("untrained_error", "pixels_error"):
        left.judge(flipped(left.right(metric), 440, base.rng), metric)
    base.put(left)
    base.renew()


def a_better_fixed_threshold(base: Forged) -> None:
    """The error at one fixed threshold is below that of thresholds fitted to the test."""
    left = base.left("resnet-20-A-quick-s0")
    left.judge(flipped(left.right("fixed_threshold_error"), 120, base.rng), "fixed_threshold_error")
    base.put(left)
    base.renew()


def a_score_edited_alone(base: Forged) -> None:
    """The scores of a few pairs are others, and nothing else."""
    arrays = base.arrays("pairs.npz")
    name = base.row("resnet-20-A-quick-s0")["id"]
    scores = arrays[name].copy()
    scores[arrays[f"{name}:same"].astype(bool)] += 0.1
    base.write_arrays("pairs.npz", arrays | {name: scores})
    base.renew()


def pictures_left_out_of_the_account(base: Forged) -> None:
    """The account of the images is that none was left out and none was odd, and of more people."""
    base.edit_done(pictures="3,264 of 211 people", people="211")
    base.renew()


def detections_that_hit(base: Forged) -> None:
    """A third of the detections that missed are hits, by all rules; every AP follows."""
    _detect(base, hits=0.3)


def objects_never_there(base: Forged) -> None:
    """Objects that were not found are struck from the truth; every AP follows."""
    _detect(base, objects=0.7)


def _detect(base: Forged, hits: float = 0.0, objects: float = 1.0) -> None:
    left = base.left("resnet-20-A-run.plain_vs_residual.4d94aefe-quick-s0")
    for option in ("", "refined"):
        own = {name.split(":")[1]: array for name, array in left.matches.items() if name.split(":")[0] == option}
        shown = {name: array for name, array in own.items() if name not in MatchTable.__slots__}
        table = MatchTable.of_arrays(own)
        table.hit[:] |= base.rng.random(table.hit.shape[-1]) < hits
        table.voc_hit[:] |= base.rng.random(table.voc_hit.shape) < hits
        for truth in (table.positives, table.voc_positives):
            truth[:] = np.maximum((truth * objects).round(), np.minimum(truth, 1)).astype(truth.dtype)
        numbers = table.numbers()
        left.result |= {f"{option}_{k}" if option else k: v for k, v in numbers.items() if np.isfinite(v)}
        left.matches |= {f"{option}:{name}": array for name, array in (table.arrays() | shown).items()}
        if not option:
            left.result["test_error"] = 100 - numbers["ap50"]
    left.settle()
    base.put(left)
    base.renew()


def an_ap_edited_alone(base: Forged) -> None:
    """An AP is three points higher in its row."""
    row = base.row("resnet-20-A-quick-s0")
    base.edit(row["id"], ap=str(float(row["ap"]) + 3))
    base.renew()


def the_runs_own_start(base: Forged) -> None:
    """A detector is said to have started from a better net."""
    base.edit("resnet-20-A-run.plain_vs_residual.4d94aefe", source_error="6.97")
    base.renew()


def top_five_above_top_one(base: Forged) -> None:
    """More images are wrong among five guesses than by the first, with the bits to it."""
    left = base.left("resnet-34-A-quick-s0")
    wrong = int((~left.right()).sum())
    left.judge(flipped(left.right("top5_error"), min(wrong + 3, 300), base.rng), "top5_error")
    base.put(left)
    base.renew()


def better_by_many_crops(base: Forged) -> None:
    """Ten crops and many scales are four points better than one view, with the bits to them."""
    left = base.left("resnet-34-A-quick-s0")
    for metric in ("ten_crop_error", "multi_scale_error", "ten_crop_top5_error", "multi_scale_top5_error"):
        right = left.right(metric)
        left.judge(flipped(right, int((~right).sum()) - 12, base.rng), metric)
    base.put(left)
    base.renew()


def a_better_ensemble(base: Forged) -> None:
    """The ensemble is ten points better, with the bits to it; its members are as they were."""
    table = read_ensembles(base.results)
    for error, bits in (("multi_scale_error", "correct"), ("multi_scale_top5_error", "correct5")):
        images = int(str(table.loc[0, "test_images"]))
        right = np.unpackbits(np.frombuffer(bytes.fromhex(str(table.loc[0, bits])), np.uint8))[:images].astype(bool)
        right = flipped(right, int((~right).sum()) - 30, base.rng)
        table.loc[0, bits] = np.packbits(right).tobytes().hex()
        table.loc[0, error] = str(100 * int((~right).sum()) / images)
    table.to_csv(base.results / ENSEMBLES, index=False, lineterminator="\n")
    base.renew()


def an_ensemble_edited_alone(base: Forged) -> None:
    """The error of the ensemble is ten points lower in its row."""
    table = read_ensembles(base.results)
    table.loc[0, "multi_scale_error"] = str(float(str(table.loc[0, "multi_scale_error"])) - 10)
    table.to_csv(base.results / ENSEMBLES, index=False, lineterminator="\n")
    base.renew()


def a_confirmation(base: Forged) -> None:
    """A further result of the cited run, on another machine, a tenth of a point better."""
    _repeat(
        base, -0.1, hardware="Apple M4", torch="2.15.0", started="2026-11-28T01:00:00Z", ended="2026-11-28T03:30:00Z"
    )


def a_confirmation_that_copies(base: Forged) -> None:
    """A further result of the cited run that differs in the digest of the weights alone."""
    _repeat(base, 0.0)


def the_worse_result_is_the_repeat(base: Forged) -> None:
    """The first result stands as the repeat, and a better one that came later stands in its place."""
    left = base.left("resnet-20-A-paper-s0")
    worse = base.row("resnet-20-A-paper-s0")
    left.result["weights_sha256"] = fresh_digest(base.rng)
    wiggle(left, base.rng, 0.5, 0.01, 0.5)
    with_error(left, 8.1, base.rng, swapped=300)
    left.starts("2026-11-27T06:20:14Z")
    base.put(left)
    (base.results / repeats.FILE).write_text(as_csv([worse], base.rows()))
    base.renew()


def _repeat(base: Forged, points: float, **cells: str) -> None:
    row = base.row("resnet-20-A-paper-s0")
    error = round(float(row["test_error"]) + points, 2)
    again = row | {"weights_sha256": fresh_digest(base.rng), "test_error": str(error)} | cells
    kept = read_rows(base.results / repeats.FILE)
    (base.results / repeats.FILE).write_text(as_csv([*kept, again], base.rows()))
    base.renew()


FORGERIES = (
    Forgery(a_score_edited_alone, "pairs of faces", False, "faces"),
    *(
        Forgery(forge, "pairs of faces", True, "faces")
        for forge in (
            scores_pulled_apart,
            truths_turned,
            other_folds,
            a_worse_baseline,
            a_better_fixed_threshold,
            pictures_left_out_of_the_account,
        )
    ),
    Forgery(an_ap_edited_alone, "detections", False, "detection"),
    *(
        Forgery(forge, "detections", True, "detection")
        for forge in (detections_that_hit, objects_never_there, the_runs_own_start)
    ),
    Forgery(an_ensemble_edited_alone, "ImageNet", False, "imagenet_depth"),
    *(
        Forgery(forge, "ImageNet", True, "imagenet_depth")
        for forge in (top_five_above_top_one, better_by_many_crops, a_better_ensemble)
    ),
    *(
        Forgery(forge, "repeats", True)
        for forge in (a_confirmation, a_confirmation_that_copies, the_worse_result_is_the_repeat)
    ),
)
