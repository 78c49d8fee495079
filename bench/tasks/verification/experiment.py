"""Faces as a run uses them: people to learn from, pairs of strangers to verify."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.spec import Faces, Run
from bench.store import atomic
from bench.tasks.experiment import Experiment, by_protocol
from bench.tasks.job import Job
from bench.tasks.verification.embedder import Embedder, Pixels, Recogniser, cosines, embed
from bench.tasks.verification.images import contact_sheet
from bench.tasks.verification.margin import MarginSoftmax
from bench.tasks.verification.people import FaceBatches, Pairs, People, Prepare, grey, require_disjoint
from bench.tasks.verification.roc import Roc, across_folds, best_threshold, correct_at
from bench.tasks.weights import pixels_of, weights_file
from bench.train.metrics import Evaluation
from bench.train.trainer import CrossEntropy
from bench.train.turns import Work, ready

FOLDS = 10
HARDEST = 8  # pairs of each kind that are shown
MEAN_OF = 20_000  # training images at most, evenly spaced, whose mean the pixels are compared without: memory


@dataclass(frozen=True, eq=False)
class FacePairs(Experiment):
    """A training set of people, and the pairs of others that test what was learnt of them.

    unchecked: what the formats do not tell of whether the two share a person, or "".
    """

    people: People
    pairs: Pairs
    unchecked: str
    prepare: Prepare

    @classmethod
    def of(cls, run: Run, job: Job, device: torch.device) -> FacePairs:
        """The run's data set. Raises DataError where it is not there, or shares a person with its own test."""
        row = run.dataset
        people, pairs = row.resolve("reader")(row.resolve("locate")(job.data, run.data), _faces(run).side)
        unchecked = require_disjoint(people, pairs)
        pixels = pixels_of(run.net, job) if run.net.weights and (run.net.row.mean or run.net.row.own) else None
        prepare = Prepare(pixels.mean, pixels.std) if pixels else Prepare()
        return cls(run, job, device, people.to(device), pairs, unchecked, prepare)

    @property
    def objective(self) -> CrossEntropy:
        """A margin for the true class wants the labels."""
        return CrossEntropy(labelled=True)

    @property
    def dropout_seed(self) -> int:
        """The run's."""
        return self.run.seed

    def net(self) -> Recogniser:
        """See Experiment."""
        torch.manual_seed(self.run.seed)
        net, faces = self.run.net, _faces(self.run)
        backbone = net.row.resolve("features")(net, weights_file(net, self.job), faces.side)
        embedder = Embedder(backbone, side=faces.side, size=faces.embedding_size, dropout=faces.dropout)
        classes = len(self.people.names)
        head = MarginSoftmax(faces.loss, faces.embedding_size, classes, margin=faces.margin, scale=faces.scale)
        return Recogniser(embedder, head)

    @property
    def digest(self) -> str:
        """SHA-256 of training set and pairs."""
        return f"{self.people.digest[:32]}{self.pairs.digest[:32]}"

    @property
    def notice(self) -> str:
        """What the data's owner says, how complete the set is, and what could not be checked."""
        return " ".join(filter(None, (self.people.notice, self.unchecked)))

    def batches(self) -> FaceBatches:
        """See Experiment."""
        generator = torch.Generator(self.device).manual_seed(self.run.seed)
        return FaceBatches(self.people, self.prepare, self.run.recipe.batch, generator)

    def test(self, net: nn.Module) -> Work[Evaluation]:
        """Which pairs are judged right, each at the threshold that is best on the other nine folds; 1 - AUC as loss."""
        start = time.perf_counter()
        judged = self._judged(self.scores(net))
        return ready(replace(judged, seconds=time.perf_counter() - start))

    def extras(self, net: nn.Module, tested: Evaluation) -> dict[str, Any]:
        """The baselines, the figures of the ROC, and every pair's score."""
        return by_protocol(tested, self._further(net)) | self._roc_columns(net)

    def _further(self, net: nn.Module) -> dict[str, Evaluation]:
        """At one threshold fixed on the training people; and the baselines: pixels, and the untrained net."""
        same = self.pairs.same.numpy()
        fixed = correct_at(self._threshold(net), self.scores(net), same)
        count = len(self.people.y)
        many = torch.arange(0, count, math.ceil(count / MEAN_OF))
        pixels = Pixels(self.prepare(self.people.x[many].to(self.device)))
        return {
            "fixed_threshold": Evaluation(torch.from_numpy(fixed), math.nan),
            "pixels": self._judged(self._cosines(pixels)),
            "untrained": self._judged(self.scores(self.net().to(self.device))),
        }

    def _roc_columns(self, net: nn.Module) -> dict[str, Any]:
        """The figures of the ROC, and every pair's score, from which all of it can be computed again.

        Leaves the hardest pairs as an image in the run's folder.
        """
        found = self.scores(net)
        if self.job.processes.rank == 0:
            self._show_hardest(found)
        images = f"{len(self.people.y):,} of {len(self.people.names):,} people"
        greys = f"{grey(self.people.x)} grey in training, {grey(self.pairs.x)} in the pairs"
        return {
            **Roc.of(found, self.pairs.same.numpy()).columns(),
            "params": sum(p.numel() for p in _embedder(net).parameters()),
            "people": len(self.people.names),
            "pictures": f"{images}; {greys}; left out for too few: {self.people.few}",
            "pair_scores": found.tolist(),
            "pair_same": self.pairs.same.int().tolist(),
            "pair_fold": self._folds().tolist(),
        }

    def _show_hardest(self, scores: NDArray[np.float64]) -> None:
        same = self.pairs.same.numpy()
        order = np.argsort(scores, kind="stable")
        missed, taken = order[same[order]][:HARDEST], order[~same[order]][::-1][:HARDEST]
        chosen = [int(k) for two in zip(missed, taken, strict=False) for k in two]
        pairs = [(self.pairs.x[self.pairs.left[k]], self.pairs.x[self.pairs.right[k]]) for k in chosen]
        with atomic(self.job.folder.hardest) as temporary:
            contact_sheet(pairs, temporary)

    def scores(self, net: nn.Module) -> NDArray[np.float64]:
        """The cosine (P,) of each pair's embeddings, mirror images added."""
        return self._cosines(_embedder(net))

    def _cosines(self, net: nn.Module) -> NDArray[np.float64]:
        x = self.pairs.x.to(self.device)
        found = embed(net, self.prepare, x, precision=self.run.recipe.precision)
        scores: NDArray[np.float64] = cosines(found, self.pairs.left, self.pairs.right).numpy()
        return scores

    def _folds(self) -> NDArray[np.int64]:
        """The list's own folds; one list's pairs in turn, as View 1 has the same ones first."""
        fold: NDArray[np.int64] = self.pairs.fold.numpy()
        return fold if fold.any() else np.arange(len(fold)) % FOLDS

    def _judged(self, scores: NDArray[np.float64]) -> Evaluation:
        same = self.pairs.same.numpy()
        correct = across_folds(scores, same, self._folds())
        return Evaluation(torch.from_numpy(correct), 1 - Roc.of(scores, same).auc)

    def _threshold(self, net: nn.Module) -> float:
        """The best one on pairs of training people: as many different as same ones, drawn from seed 0."""
        rng, y = np.random.default_rng(0), self.people.y.cpu().numpy()
        chosen = rng.permutation(len(y))[:1_000]
        x = self.people.x[torch.from_numpy(chosen)].to(self.device)
        left, right = np.triu_indices(len(chosen), 1)
        same = y[chosen[left]] == y[chosen[right]]
        others = rng.permutation(np.flatnonzero(~same))[: int(same.sum())]
        kept = np.sort(np.concatenate([np.flatnonzero(same), others]))
        found = embed(_embedder(net), self.prepare, x, precision=self.run.recipe.precision)
        scores = cosines(found, torch.from_numpy(left[kept]), torch.from_numpy(right[kept])).numpy()
        return best_threshold(scores, same[kept])


def _embedder(net: nn.Module) -> Embedder:
    """What of a recogniser is tested."""
    assert isinstance(net, Recogniser)
    return net.embedder


def _faces(run: Run) -> Faces:
    assert run.recipe.faces is not None
    return run.recipe.faces
