"""`python -m bench clean`: deletes what no start of a sweep needs any more, and says what that is.

A run that is being trained is left alone; of each of the others what is deleted is deleted under its lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from bench.launch.cost import size_words
from bench.launch.slurm.queue import Queue, is_young
from bench.spec import counted
from bench.store import BusyError, RunFolder, delete, folders, register, submissions, write_bytes
from bench.store.leftovers import ASIDE, HALF, LOGS, PREVIOUS, STARTS, WEIGHTS, of_run, of_sweep

MOMENTUM = "momentum in the checkpoints of runs that are done"
JOBS = "jobs of runs that are done, and their code"
KINDS = (LOGS, STARTS, JOBS, MOMENTUM, PREVIOUS, HALF, WEIGHTS, ASIDE)  # in the order in which they are listed
OPTION = {WEIGHTS: "--weights", ASIDE: "--aside"}  # kinds that are deleted only where that is asked for
Say = Callable[[str], object]


@dataclass
class Cleaning:
    """What is found in the folder `sweep`, by kind. chosen: the kinds that go; none does in a dry run."""

    sweep: Path
    chosen: frozenset[str]
    dry_run: bool
    say: Say
    files: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)

    def all(self) -> None:
        """Goes through the sweep's runs, then through what lies beside them."""
        runs = folders(self.sweep.parent, self.sweep.name).values()
        held = [folder for folder in runs if not self._run(folder)]
        done = [folder for folder in runs if folder not in held and folder.result() is not None]
        self.say(f"{self.sweep}: {counted(len(runs), 'run')}, {len(done)} done")
        for folder in held:
            self.say(f"  {folder.path.name} is being trained: nothing of it is touched")
        if not held:
            self._take(of_sweep(self.sweep, done=len(done) == len(runs)))
        self._jobs({folder.path.name for folder in done})
        self._tell()

    def _run(self, folder: RunFolder) -> bool:
        """False where a process trains the run."""
        if folder.lives():
            return False
        try:
            with nullcontext() if self.dry_run else folder.lock():
                self._of(folder)
        except BusyError:
            return False
        return True

    def _of(self, folder: RunFolder) -> None:
        self._take(of_run(folder))
        if folder.checkpoint.exists() and (result := folder.result()) is not None:
            self._lighten(folder.checkpoint, folder.path.name, str(result["weights_sha256"]))

    def _take(self, found: Iterable[tuple[str, Path]]) -> None:
        """Counts these files and folders, and deletes those of the chosen kinds."""
        for kind, path in found:
            sizes = [part.lstat().st_size for part in (path, *path.rglob("*")) if part.is_symlink() or part.is_file()]
            if sizes and kind in self.chosen and not self.dry_run and not self._delete(path):
                self.say(f"  {path} cannot be deleted: do you own it?")
                continue
            self.files[kind] += len(sizes)
            self.sizes[kind] += sum(sizes)

    def _delete(self, path: Path) -> bool:
        """Deletes it. The register says so of a run that was moved aside by hand, and that no start has begun again."""
        run, aside = path.name.rpartition(".")[0], path.parent == self.sweep / "aside"
        gone = aside and (path / "run.json").exists() and not (self.sweep / run).exists()
        if gone and register.last_event(self.sweep, run) in ("", "started"):
            register.end(self.sweep, "given up", run, reason="deleted by bench clean --aside")
        return delete(path)

    def _lighten(self, path: Path, run_id: str, weights_sha256: str) -> None:
        """Rewrites a checkpoint of an earlier version as this one writes it, if it has the weights of the result."""
        if WEIGHTS in self.chosen:
            return
        from bench.train import checkpoint  # torch only where there are checkpoints

        if not checkpoint.has_momentum(path):
            return
        try:
            whole = path.read_bytes()
            light = checkpoint.finished(whole, run_id, weights_sha256)
        except ValueError as error:
            self.say(f"  {path} stays as it is: {error}")
            return
        self.files[MOMENTUM] += 1
        self.sizes[MOMENTUM] += len(whole) - len(light)
        self.sizes[WEIGHTS] -= len(whole) - len(light)
        if not self.dry_run:
            write_bytes(path, light)

    def _jobs(self, done: set[str]) -> None:
        """What was submitted to Slurm, unless a job may still need it."""
        known = submissions(self.sweep)
        if not known:
            return
        jobs = Queue(self.sweep).jobs()
        if jobs is None:
            self.say("  slurm/ and code/ stay: Slurm does not say here which jobs are still in the queue")
            return
        living = {job.name for job in jobs} | {name for name, one in known.items() if is_young(one)}
        over = {n for n, one in known.items() if n not in living and all(map(done.issuperset, one.packs()))}
        self._take((JOBS, known[name].path) for name in sorted(over))
        if over == known.keys():
            self._take((JOBS, path) for path in sorted((self.sweep / "code").glob("*")))

    def _tell(self) -> None:
        kinds = [kind for kind in KINDS if self.files[kind]]
        for kind in (kind for kind in kinds if kind in self.chosen):
            self.say(f"  {size_words(self.sizes[kind]):>8}  {kind} ({counted(self.files[kind], 'file')})")
        total = sum(self.sizes[kind] for kind in self.chosen)
        words = "in all would be deleted: with --dry-run nothing was" if self.dry_run else "in all were deleted"
        self.say(f"  {size_words(total):>8}  {words}" if total else "  nothing to delete")
        for kind in (kind for kind in kinds if kind not in self.chosen):
            self.say(f"  {size_words(self.sizes[kind]):>8}  kept: {kind} ({OPTION[kind]} deletes that, too)")


def clean(sweep: Path, *, dry_run: bool, aside: bool, weights: bool, say: Say) -> None:
    """Deletes what no start of the sweep in this folder needs; a line for each kind, with its size.

    aside, weights: also what was set aside, the weights of finished runs. Raises StoreError where the disk refuses.
    """
    kept = {ASIDE: aside, WEIGHTS: weights}
    chosen = frozenset(kind for kind in KINDS if kept.get(kind, True))
    Cleaning(sweep, chosen, dry_run, say).all()
