"""The folder of one run, and its state as its files tell it. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.spec import DIVERGED, Run, SpecError, run_from_json
from bench.store import own_code, records, register
from bench.store.contents import CONTENTS, ONLY_DONE, ONLY_UNDONE
from bench.store.files import StoreError, disk_error, file_digest, in_utf8, make_folder, write_json, write_rows
from bench.store.inputs import Inputs
from bench.store.lock import LockedFolder
from bench.store.submission import Rendezvous


class File:
    """A file of a run folder, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: LockedFolder, _: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True, slots=True)
class RunFolder(LockedFolder):
    """The folder of one run. Every method that reads is safe while another process writes."""

    checkpoint = File("checkpoint.pt")  # the last resumable state
    previous = File("checkpoint.previous.pt")  # the one before, until the run is done: for where the last is damaged
    curve = File("curve.jsonl")  # a row a training window
    layers = File("layers.jsonl")  # a row a layer and step; there for failed runs, too, as far as they came
    ensemble = File("ensemble.npz")  # the scores at many scales of a net tested on images: what ensembles are made of
    hardest = File("hardest.png")  # a drawing of the pairs that a verification judges worst
    matches = File("matches.npz")  # the outcome of every detection of a detector's tests: what every AP is made of
    found = File("found.npz")  # what its tests found, box by box, and what is there: what `bench export` writes
    detections = File("detections.png")  # a drawing of some test images with what was found in them
    manifest = File("manifest.json")  # the digests of what the number depends on, and of what the run left
    log = File("log")  # where submitit keeps its files and the run's stdout and stderr

    def mark(self) -> int:
        """Another number after each new checkpoint, also of a test."""
        marks = [0]
        for path in (self.checkpoint, *self.path.glob("scores-*.pt")):
            with suppress(OSError):
                marks.append(path.stat().st_mtime_ns)
        return max(marks)

    def scores(self, protocol: str) -> Path:
        """What a protocol of a test has found so far, of each image; kept until all protocols have ended."""
        return self.path / f"scores-{protocol}.pt"

    def rendezvous(self, start: str) -> Rendezvous:
        """Where the run's processes of one start of one job meet; another start never sees it."""
        return Rendezvous(self.log / f"{start}_meeting.json")

    def create(self, run: Run) -> None:
        """Makes the folder with its run.json. Raises StoreError where a different run is in it."""
        make_folder(self.path)
        own_code.put(self.path, run)  # first: without it the run is nothing
        if not (self.path / "run.json").exists():
            write_json(self.path / "run.json", run.as_json())
        elif self.run() != run:
            raise StoreError(f"{self.path} holds another run than its name says; move it away and start again")
        elif self.run().as_json() != run.as_json() and self.state() in ("pending", "failed"):
            if self.checkpoint.exists():
                run = replace(run, resources=run.resources.as_begun(self.run().resources))
            write_json(self.path / "run.json", run.as_json())

    def run(self) -> Run:
        """The Run of this folder, where its code now is known to lie. Raises StoreError without a whole run.json."""
        path = self.path / "run.json"
        try:
            run = run_from_json(path.read_bytes())
        except FileNotFoundError:
            raise StoreError(f"{self.path} has no run.json: not a run folder") from None
        except (OSError, SpecError) as error:
            raise StoreError(f"{path} cannot be read ({error}); move it away and start again") from None
        own_code.found_in(self.path, run)
        return run

    def readable_run(self) -> Run | None:
        """The Run of this folder, None where it cannot be read: whoever starts or collects the run says so."""
        with suppress(StoreError):
            return self.run()
        return None

    def contents(self) -> dict[str, bytes]:
        """The files that make up the run, by name and in the order of CONTENTS; safe while it is being trained.

        Of a run that is not done without env.json and result.json, which do not count then. Raises StoreError.
        """
        # asked first: what a run ends with is in place before its result
        skipped = ONLY_UNDONE if self.result() is not None else ONLY_DONE
        wanted = [pattern for pattern in CONTENTS if pattern not in skipped]
        found: dict[str, bytes] = {}
        try:
            for path in (path for pattern in wanted for path in sorted(self.path.glob(pattern))):
                with suppress(FileNotFoundError):  # a run that ends meanwhile has no use for it any more
                    found[path.name] = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be read: {error.strerror}") from error
        return found

    def write_curve(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Replaces the curve; returns the SHA-256 of the file."""
        return write_rows(self.curve, rows)

    def write_layers(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Replaces the rows of the layers; returns the SHA-256 of the file."""
        return write_rows(self.layers, rows)

    def finish(
        self, result: Mapping[str, Any], env: Mapping[str, Any], manifest: Mapping[str, Any] | None = None
    ) -> None:
        """Writes env.json, the manifest and its line in the register, then result.json: with that the run is done."""
        self.clear_error()
        whole = {name: in_utf8(value) if isinstance(value, str) else value for name, value in env.items()}
        write_json(self.path / "env.json", whole)
        if manifest is not None:
            before = file_digest(self.manifest)
            write_json(self.manifest, manifest)
            if file_digest(self.manifest) != before:  # what others vouched for was the one before
                for seal in self.path.glob(f"{self.manifest.name}.*"):
                    seal.unlink()
            digests = {name: result[name] for name in ("weights_sha256", "curve_sha256")}
            self.register("done", **digests, manifest_sha256=file_digest(self.manifest))
        write_json(self.path / "result.json", result)
        for leftover in (*self.path.glob("scores-*.pt"), self.previous):
            leftover.unlink(missing_ok=True)

    def fail(self, message: str, *, retry: bool, trace: str = "") -> None:
        """Writes why the run ended. `retry`: the next start resumes it (the machine's fault, not the run's)."""
        if not retry:
            self.previous.unlink(missing_ok=True)
            with suppress(StoreError):  # where that cannot be written, the error below may
                self.register("diverged" if DIVERGED.match(message) else "failed", message=message)
        value = {"message": in_utf8(message), "retry": retry, "time": time.time(), "trace": trace.splitlines()}
        write_json(self.path / "error.json", value)

    def register(self, event: str, **facts: Any) -> None:
        """Adds how the run ended to the register beside it. Raises StoreError."""
        register.end(self.path.parent, event, self.path.name, **facts)

    def clear_error(self) -> None:
        """Forgets the last error: the run is resumed."""
        (self.path / "error.json").unlink(missing_ok=True)

    def diverged(self) -> bool:
        """Whether the run failed by itself: its loss was not finite."""
        error = self.error()
        return error is not None and bool(DIVERGED.match(error["message"]))

    def declare(self, claims_sha256: str) -> None:
        """Keeps the digest of the sweep's claims at the run's scale, for its provenance. Raises StoreError."""
        write_json(self.path / "declared.json", {"claims_sha256": claims_sha256})

    def claims_digest(self) -> str:
        """The digest of the claims that `declare` kept, "" where there is none."""
        value = records.record(self.path / "declared.json", records.DECLARED)
        return value["claims_sha256"] if value else ""

    def begin(self, inputs: Inputs) -> None:
        """Keeps what the run is begun with. Raises StoreError where it has trained on other inputs."""
        begun = self.inputs()
        if begun and self.has_trained and (others := begun.unlike(inputs)):
            raise StoreError(
                f"{self.path} was begun with {others}: give it those, or start with --again, which sets the folder "
                "aside and trains the run anew"
            )
        write_json(self.path / "inputs.json", asdict(inputs))

    def inputs(self) -> Inputs | None:
        """What the run was begun with, None where that is not known."""
        kept = records.record(self.path / "inputs.json", records.INPUTS) or self.env() or {}
        data = kept.get("data_sha256")
        return Inputs(data, kept.get("start_sha256")) if isinstance(data, str) else None

    @property
    def has_trained(self) -> bool:
        """Whether it has kept a step, is done, or diverged."""
        return self.checkpoint.exists() or self.result() is not None or self.diverged()

    def begin_again(self, instead_of: Inputs) -> None:
        """Keeps, of a new folder, that its result is to take the place of one on these inputs."""
        write_json(self.path / "again.json", asdict(instead_of))

    def instead_of(self) -> Inputs | None:
        """The inputs of the run whose place it takes, None where it takes none."""
        kept = records.record(self.path / "again.json", records.INPUTS)
        return Inputs(kept["data_sha256"], kept["start_sha256"]) if kept else None

    def set_aside(self, begun: Inputs | None, reason: str = "set aside") -> Path | None:
        """Moves the folder to aside/<run id>.<n> beside it, where no command looks, and returns where it now is.

        None where it did not begin with `begun`: another process has set that one aside. Raises BusyError where the
        run is being trained, StoreError where the disk refuses.
        """
        number, home = 1, self.path.parent / "aside"
        while (place := home / f"{self.path.name}.{number}").exists():
            number += 1
        make_folder(home)
        with self.lock():
            if self.inputs() != begun:
                return None
            self.register("given up", reason=reason)
            try:
                self.path.rename(place)
            except OSError as error:
                raise disk_error(place, error) from error
        return place

    def forget_start(self) -> None:
        """Forgets inputs and checkpoint of the training here: another one's are to take their place."""
        for path in (self.path / "inputs.json", self.previous):
            path.unlink(missing_ok=True)

    def predict(self, seconds: float) -> None:
        """Keeps what a plan said before the run first started, for the report to hold against what it took."""
        if not self.checkpoint.exists():
            write_json(self.path / "predicted.json", {"seconds": seconds})

    def predicted_seconds(self) -> float | None:
        """What the plan said, None where it knew no speed."""
        value = records.record(self.path / "predicted.json", records.PREDICTED)
        return float(value["seconds"]) if value else None

    def error(self) -> dict[str, Any] | None:
        """The last error: message, retry, time, trace."""
        return records.record(self.path / "error.json", records.ERROR)

    def env(self) -> dict[str, Any] | None:
        """The provenance of a done run."""
        return records.record(self.path / "env.json", records.ENV)

    def result(self) -> dict[str, Any] | None:
        """The result of a done run; None where it is not done, or a file that it ended with is damaged."""
        result = self._written_result()
        return result if result is not None and self._damage(result) is None else None

    def _written_result(self) -> dict[str, Any] | None:
        return records.record(self.path / "result.json", records.RESULT)

    def _damage(self, result: Mapping[str, Any]) -> str | None:
        """What is not as the run ended; a run has only some of the files."""
        if result["id"] != self.path.name:
            return f"{self.path / 'result.json'} is of the run {result['id']}"
        if self.env() is None:
            return f"{self.path / 'env.json'} is damaged"
        kept = {self.curve: "curve_sha256", self.layers: "layers_sha256", self.matches: "matches_sha256"}
        for path, name in kept.items():
            if (digest := result.get(name)) and digest != file_digest(path):
                return f"{path} is not what the run ended with (truncated or edited)"
        return None

    def damage(self) -> str | None:
        """Damage to a finished run, None where there is none: the next start repairs it."""
        if not (self.path / "result.json").exists():
            return None
        result = self._written_result()
        return f"{self.path / 'result.json'} is damaged" if result is None else self._damage(result)

    def curve_rows(self) -> list[dict[str, Any]]:
        """The rows of the curve that can be read; a last line cut off in the middle is left out."""
        return records.read_rows(self.curve)

    def layer_rows(self) -> list[dict[str, Any]]:
        """The rows of the layers that can be read."""
        return records.read_rows(self.layers)

    def state(self) -> str:
        """`done`, `failed`, `running`, `stopped` (some steps, or tested images, are kept) or `pending`."""
        if self.result() is not None:
            return "done"
        error = self.error()
        if error is not None and not error["retry"]:
            return "failed"
        if self.lives():
            return "running"
        return "stopped" if self.checkpoint.exists() or any(self.path.glob("scores-*.pt")) else "pending"


def all_folders(runs: Path) -> list[RunFolder]:
    """The run folders of all sweeps below `runs`."""
    return [RunFolder(path.parent) for path in sorted(runs.glob("*/*/run.json"))]


def folders(runs: Path, sweep: str) -> dict[str, RunFolder]:
    """All run folders of a sweep below `runs`, by run id."""
    found = sorted(p.parent for p in (runs / sweep).glob("*/run.json"))
    return {path.name: RunFolder(path) for path in found}
