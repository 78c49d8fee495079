"""How the claims of a sweep are judged: one procedure, written down before the runs that it judges.

Version 1 (`bench.spec.PROCEDURE`; a change that could change a verdict raises it):

1. Which claims are judged at a scale, and by which seeds, is declared in the sweep (`Scale.judges`, `seeds`). A claim
   gets its verdict when every net in it has all of its planned seeds, by these and no others; before that it has no
   verdict, no p-value and no interval. More seeds later would be a new declaration, on fresh seeds alone. A run that
   began before its claims were declared counts, and the page says so; one on data that are known not to be the paper's
   does not.
2. A seed whose training diverged counts with the error of a guess (90 % with ten classes) and is never replaced.
3. A claim puts one or several effects inside a region: means over seeds, differences, differences of differences.
   Variances are those of each net alone, never pooled over depths or families: Student's t for one mean, Welch's t
   with Satterthwaite's degrees of freedom for several (Welch 1947). Two recipes of one net share their seeds and are
   compared seed by seed (paired t). Equality within a margin is two one-sided tests (Schuirmann 1987); "not worse by
   more than a margin" is one of them (non-inferiority).
4. The standard deviation over seeds has a floor, so that equal values are not taken for no spread. Test error: two
   seeds that disagree on a share d of N images, a coin toss on each of these, differ with a variance of d/N, which is
   d/2N for one of them. Where the judged images are not stored, and for training errors (N images of the last window),
   d/2 is p(1 - p).
5. A claim of several effects holds if all do: its p-value is the largest (intersection-union test, Berger 1982). It
   fails if one does not: the smallest times their number (Bonferroni).
6. Two families, "it holds" and "it does not", are each corrected by Holm (1979) over the claims judged at the scale, a
   number fixed in advance; one that waits counts with p = 1, so that "undecided" is final when none waits. Each family
   has half of LEVEL: as far as each net's errors over seeds are normally distributed, any verdict at all is wrong in at
   most 5 % of sweeps, in either direction, however the claims depend on each other. `python -m bench simulate` shows it
   for unequal spreads on the bound of every claim, and what becomes of it where seeds lie in two heaps.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from bench.paper import paper_numbers, paper_value
from bench.report import rows
from bench.report.frame import Set, display_name
from bench.report.stats import Contrast, Region, binomial_std, contrast, disagreement_std, holm, sample, total
from bench.spec import DIVERGED, LEVEL, METRICS, Claim, Comparison, Sweep, Task
from bench.spec.datasets import is_official

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
WAITING, NOT_JUDGED = "not yet judged", "not judged"
NET = re.compile(r"\{([^}]+)\}")  # in the label of a Comparison; names may have dots

# by name of a net and metric, each seed's number in percent
Seeds = Mapping[tuple[str, str], Mapping[int, float]]
# the least standard deviation over seeds of a net's metric, or of the difference of two recipes of it
Floor = Callable[[tuple[str, ...], str], float]


@dataclass(frozen=True, slots=True)
class Link:
    """One comparison of a claim: an effect over the seeds that the claim puts inside the region.

    nets: as the label names them. ns: the seeds of each; of two recipes of a net, which are compared seed by seed, the
    seeds of both. bounds: the least and the largest that the effect can be, of errors between 0 and 100 %.
    """

    label: str
    effect: Contrast
    region: Region
    nets: tuple[str, ...]
    ns: tuple[int, ...]
    bounds: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with what was measured of it.

    links: the comparisons all of whose nets have a number. p_for, p_against: Holm-corrected p-values for "it holds" and
    for "it does not"; NaN where it is not judged. seeds: how many of the planned seeds each net has, and how many are
    planned.
    """

    claim: Claim
    links: tuple[Link, ...]
    p_for: float
    p_against: float
    verdict: str
    seeds: Mapping[str, tuple[int, int]]

    @property
    def decided(self) -> bool:
        """Whether the procedure has spoken."""
        return self.verdict in (REPRODUCED, NOT_REPRODUCED, UNDECIDED)


def tally(judged: Iterable[Judged]) -> dict[str, int]:
    """How many of the claims that are judged have each verdict, the decided ones first; none that no claim has."""
    counts = Counter(one.verdict for one in judged)
    return {said: counts[said] for said in (REPRODUCED, NOT_REPRODUCED, UNDECIDED, WAITING) if counts[said]}


def judge_set(sweep: Sweep, results: Set) -> tuple[Judged, ...]:
    """Every claim of the sweep, in its order, from the runs of one set; verdicts for those judged at its scale.

    On other data than the paper's and the scale's own, such as a stand-in, none is judged; on the scale's own none that
    compares with a number of the paper. Runs on data that are known not to be the official ones count in no verdict.
    """
    planned, data = sweep.scales[results.scale].planned, results.dataset
    its_own = results.data == sweep.data_at(results.scale)
    judged = tuple(c for c in sweep.judged_at(results.scale) if data.of_paper or (its_own and not c.number))
    if judged:
        shas = results.runs["data_sha256"].astype(str)
        counted = [not sha or is_official(results.data, sha) is not False for sha in shas]
        results = replace(results, runs=results.runs[counted])
    return judge(sweep.claims, judged, seeds_of(results), planned, floor_of(results, planned), floor_of(results))


def judge(
    claims: Sequence[Claim],
    judged: Sequence[Claim],
    seeds: Seeds,
    planned: Mapping[str, Sequence[int]],
    floor: Floor,
    floor_of_all: Floor | None = None,
) -> tuple[Judged, ...]:
    """Every claim with its effects, and the verdicts on those `judged` whose nets have all of their planned seeds.

    planned: by name of a net; a claim that is not judged is described by all the seeds there are, and their floor.
    """
    by_plan = {
        key: {seed: value for seed, value in values.items() if seed in planned.get(key[0], ())}
        for key, values in seeds.items()
    }
    counts = {claim: _counts(claim, by_plan, planned) for claim in claims}
    complete = [claim for claim in judged if all(there == wanted >= 2 for there, wanted in counts[claim].values())]
    ready = {claim: links_of(claim, by_plan, floor) for claim in complete}
    p_for = dict(zip(judged, holm([_p_holds(ready.get(c, ())) for c in judged]), strict=True))
    p_against = dict(zip(judged, holm([_p_fails(ready.get(c, ())) for c in judged]), strict=True))
    found = []
    for claim in claims:
        if claim in ready:
            ps = p_for[claim], p_against[claim]
            links, verdict = ready[claim], _verdict(*ps)
        else:
            ps = math.nan, math.nan
            waits = claim in judged
            verdict = WAITING if waits else NOT_JUDGED
            links = links_of(claim, by_plan if waits else seeds, floor if waits else floor_of_all or floor)
        found.append(Judged(claim, links, *ps, verdict, counts[claim]))
    return tuple(found)


def _verdict(p_for: float, p_against: float) -> str:
    return REPRODUCED if p_for <= LEVEL / 2 else NOT_REPRODUCED if p_against <= LEVEL / 2 else UNDECIDED


def _counts(claim: Claim, seeds: Seeds, planned: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, int]]:
    """By net how many of the planned seeds there are, and how many are planned."""
    wanted = {name: planned.get(name, ()) for name in claim.names}
    return {name: (len(set(seeds.get((name, claim.metric), ())) & set(its)), len(its)) for name, its in wanted.items()}


def _p_holds(links: Sequence[Link]) -> float:
    """An intersection-union test: all links at once are shown by the weakest of them, without a correction.

    A link without a test, such as that of two nets of which every seed diverged, shows nothing.
    """
    return float(np.max([link.region.p_inside(link.effect) for link in links])) if links else math.nan


def _p_fails(links: Sequence[Link]) -> float:
    """One link outside refutes the claim; there are as many ways to err as links, hence Bonferroni."""
    return min(1.0, len(links) * min(link.region.p_outside(link.effect) for link in links)) if links else math.nan


def links_of(claim: Claim, seeds: Seeds, floor: Floor) -> tuple[Link, ...]:
    """The comparisons that the claim is made of, as far as their nets have numbers."""
    against = paper_value(paper_numbers()[claim.number]) if claim.number else 0.0
    found = []
    for one in claim.comparisons:
        values = {name: seeds.get((name, claim.metric), {}) for name in one.weights}
        effect = _paired(one, values, claim, floor) if claim.paired else _welch(one, values, claim, floor, against)
        if effect is not None:
            label = NET.sub(lambda net: display_name(net[1]), one.label) + (f" {against:g}" if claim.number else "")
            nets = tuple(NET.findall(one.label))
            ns = effect.ns if claim.paired else tuple(len(values[name]) for name in nets)
            low, high = (100.0 * sum(side(weight, 0) for weight in one.weights.values()) for side in (min, max))
            bounds = low - against, high - against
            found.append(Link(label, effect, Region(one.low, one.high), nets, ns, bounds))
    return tuple(found)


Values = Mapping[str, Mapping[int, float]]


def _welch(one: Comparison, values: Values, claim: Claim, floor: Floor, against: float) -> Contrast | None:
    if not all(values.values()):
        return None
    samples = [sample(list(seeds.values())).at_least(floor((name,), claim.metric)) for name, seeds in values.items()]
    return contrast(samples, list(one.weights.values()), against)


def _paired(one: Comparison, values: Values, claim: Claim, floor: Floor) -> Contrast | None:
    """The difference seed by seed, over the seeds that both recipes have."""
    both = sorted(set.intersection(*(set(seeds) for seeds in values.values())))
    if not both:
        return None
    differences = [total(w * values[name][seed] for name, w in one.weights.items()) for seed in both]
    return contrast([sample(differences).at_least(floor(tuple(one.weights), claim.metric))], [1])


def seeds_of(results: Set) -> dict[tuple[str, str], dict[int, float]]:
    """Each seed's number of every net and error; a diverged seed has that of a guess."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for (_, row), diverged in zip(results.runs.iterrows(), has_diverged(results.runs), strict=True):
        for metric in (name for name in METRICS if name in row):
            number = float(row[metric]) if row["state"] == "done" else math.nan
            number = guess_of(metric, results) if diverged else number
            if not math.isnan(number):
                found.setdefault((str(row["net"]), metric), {})[int(row["seed"])] = number
    return found


def has_diverged(runs: pd.DataFrame) -> pd.Series[bool]:
    """Of each run whether its training diverged: it failed, and of nothing else."""
    causes = runs.get("error_message", pd.Series("", runs.index)).astype(str)
    return (runs["state"] == "failed") & causes.map(lambda cause: bool(DIVERGED.match(cause))).astype(bool)


COUNTED_AS = {"best_test_error": "test_error"}  # by the same images


def floor_of(results: Set, planned: Mapping[str, Sequence[int]] | None = None) -> Floor:
    """The floor (rule 4) from the planned seeds of one set; from all that there are for the intervals of its page."""
    ours, runs = results, results.runs
    if planned is not None:
        pairs = zip(runs["net"], runs["seed"].astype(int), strict=True)
        ours = replace(results, runs=runs[[seed in planned.get(net, ()) for net, seed in pairs]])

    @cache
    def floor(names: tuple[str, ...], metric: str) -> float:
        metric = COUNTED_AS.get(metric, metric)
        if not metric.endswith("error"):
            return 0.0  # AP and points of a ROC are no shares of images
        return _disagreement(ours, names, metric) or _binomial(ours, names, metric)

    return floor


def _disagreement(results: Set, names: tuple[str, ...], metric: str) -> float | None:
    """By how often two seeds disagree on a test image; None where fewer than two are stored for the same images."""
    images = [results.correct_images(name, metric=metric) for name in names]
    there = [one for one in images if one is not None]
    if len(there) < len(names) or len({one.shape[1] for one in there}) > 1 or sum(map(len, there)) < 2:
        return None
    return disagreement_std(*there)


def _binomial(results: Set, names: tuple[str, ...], metric: str) -> float:
    runs = results.runs[results.runs["net"].isin(names)]
    if not len(runs):
        return 0.0  # nothing is there to have a spread
    done = runs.loc[runs["state"] == "done", metric]
    images = runs["curve_every"] * runs["batch"] if metric == "train_error" else runs["test_images"]
    error = float(done.mean()) if done.notna().any() else guess_of(metric, results)
    return math.sqrt(len(names)) * binomial_std(error, int(images.min()))


def guess_of(metric: str, results: Set) -> float:
    """The error in percent of a guess, or of five for top-5; NaN where nobody knows between how many answers.

    So where every training on a user's own data diverged. A detector that finds nothing has 100.
    """
    task, answers = task_in(results), answers_in(results)
    if task is not None and not task.by_image:
        return 100.0
    return 100 - 100 * min(5 if "top5" in metric else 1, answers) / answers if answers else math.nan


def task_in(results: Set) -> Task | None:
    """What its runs do; None where there is none."""
    return rows.task_in(dict(results.runs.iloc[0])) if len(results.runs) else None


def answers_in(results: Set) -> int:
    """Between how many answers a test decides; 0 where it is no choice, or no finished run says how many there are."""
    task, done = task_in(results), results.done
    if task is None or not task.by_image:
        return 0
    told = [rows.classes_of({"classes": names}) for names in done.get("classes", ())]
    return task.answers or results.dataset.classes or max(told, default=0)
