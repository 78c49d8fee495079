"""`python -m bench pack`: run folders as archives below a size, and no more than so many of them.

Room goes first to results (a run's numbers are some 50 KB), then to runs that can be resumed, those first that have
least left, then to the weights of finished runs. A set of archives that is there already is renewed: the new ones
are made beside the folder and renamed into it, so that at any moment each archive there is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.spec import counted
from bench.store import RunFolder, StoreError, exclusive, make_folder, register
from bench.transfer import archive
from bench.transfer.archive import OVERHEAD, Parcel
from bench.transfer.contents import CHECKPOINT, parcel_of, with_weights

MIB = 2**20
MEANWHILE = 16 * 1024  # of a register, for what is added to it while its runs are packed
Say = Callable[[str], object]


def archives_in(folder: Path) -> list[Path]:
    """The archives of a folder, in the order of their numbers."""
    return sorted(folder.glob("runs-*.tar"), key=lambda path: (len(path.name), path.name))


@dataclass
class Boxes:
    """Archives to be: at most `count`, each below `size` bytes. What is in them is held in memory.

    reserved: the bytes of each that are for the registers.
    """

    count: int
    size: int
    reserved: int = 0
    parcels: list[list[Parcel]] = field(default_factory=list)

    def put(self, parcel: Parcel) -> bool:
        """Puts the parcel into the first archive that has room; False where none has."""
        for box in self.parcels:
            if self._fits(*box, parcel):
                box.append(parcel)
                return True
        if len(self.parcels) == self.count or not self._fits(parcel):
            return False
        self.parcels.append([parcel])
        return True

    def swap(self, parcel: Parcel, heavier: Parcel) -> bool:
        """Takes `heavier` in place of the parcel, into any archive; False where none has room."""
        box = next(box for box in self.parcels if parcel in box)
        place = box.index(parcel)
        del box[place]
        if self.put(heavier):
            return True
        box.insert(place, parcel)
        return False

    def lack(self, size: int) -> str:
        """Why so many bytes found no room, in words."""
        if size + OVERHEAD + self.reserved >= self.size:
            return f"its {size / MIB:.2f} MiB are more than an archive of {self.size / MIB:g} MiB holds"
        archives = f"{counted(self.count, 'archive')} of {self.size / MIB:g} MiB"
        return f"no room is left for its {size / MIB:.2f} MiB in {archives}"

    def _fits(self, *parcels: Parcel) -> bool:
        return OVERHEAD + self.reserved + sum(parcel.size for parcel in parcels) < self.size


def pack(out: Path, runs: Path, chosen: Sequence[RunFolder], *, files: int, mib: int, weights: bool, say: Say) -> bool:
    """Writes `chosen` of the folders below `runs` as archives into `out`; says the outcome of each.

    Returns whether every run that has kept a step is there; weights that found no room do not count. Raises StoreError
    where there is none, or an archive in `out` has what is nowhere else.
    """
    out = make_folder(out).resolve()
    with exclusive(out, traceless=True), _staging(out) as staging:
        _refuse_loss(out, runs)
        boxes = Boxes(files, mib * MIB, sum(map(len, _registers(chosen).values())) + MEANWHILE)
        left, young = _fill(boxes, chosen)
        packed = [parcel for box in boxes.parcels for parcel in box]
        if not packed and not left:
            raise StoreError(_nothing(runs, len(chosen), young))
        behind = _add_weights(boxes, packed, runs) if weights else []
        registers = _registers(chosen)  # after the runs: all that has come to pass with them is in it
        for number, box in enumerate(boxes.parcels, 1):
            theirs = {
                name: data for name, data in registers.items() if name.split("/")[0] in {one.sweep for one in box}
            }
            archive.write(staging / f"runs-{number}.tar", box, theirs)
        _publish(staging, out)
    waiting = [
        f"{name}: not yet, as it has no checkpoint so far: {_first([seconds])}" for name, seconds in young.items()
    ]
    _tell(out, boxes, [*left, *waiting, *behind], say)
    return not left


def _registers(chosen: Iterable[RunFolder]) -> dict[str, bytes]:
    """The registers beside these runs, by their names in an archive; of two copies of one the longer."""
    found: dict[str, bytes] = {}
    for sweep in dict.fromkeys(folder.path.parent for folder in chosen):
        for _, content in register.chains_in(sweep):
            name = f"{sweep.name}/{register.file_name(content)}"
            if register.chain_of(content) and register.extends(content, found.get(name, b"")):
                found[name] = content
    return found


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder beside `out`, which the caller holds, for the time of packing."""
    staging = make_folder(out.parent) / f".{out.name}.packing"
    shutil.rmtree(staging, ignore_errors=True)  # of one that was killed
    try:
        yield make_folder(staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _nothing(runs: Path, count: int, young: Mapping[str, float]) -> str:
    why = f"{counted(count, 'run')} in {runs}, of which none has begun or came to a checkpoint"
    if young:
        why = f"{counted(len(young), 'run')} in {runs} under way, without a checkpoint so far: {_first(young.values())}"
    return f"nothing to pack yet: {why}"


def _first(seconds: Iterable[float]) -> str:
    return f"the first comes after at most {max(seconds):g} s of training"


def _name(folder: RunFolder) -> str:
    return f"{folder.path.parent.name}/{folder.path.name}"


def _refuse_loss(out: Path, runs: Path) -> None:
    """Raises StoreError where an archive that is to be replaced has a run, or a result, that `runs` has not."""
    for path in archives_in(out):
        for name, state in archive.held(path).items():
            folder = RunFolder(runs / name)
            if not folder.path.is_dir() or (state == "done" and folder.result() is None):
                raise StoreError(
                    f"{path} has {name}, {state}, which {runs} has not: bench unpack it first, or give another folder"
                )


def _fill(boxes: Boxes, chosen: Iterable[RunFolder]) -> tuple[list[str], dict[str, float]]:
    """Puts results, then runs that can be resumed, into the archives.

    Returns a line for each run that stays behind, and of each that is under way and has kept nothing yet the seconds of
    training between its checkpoints.
    """
    left, young = [], {}
    for folder in sorted(chosen, key=_turn):
        name = _name(folder)
        try:
            parcel = parcel_of(folder)
        except StoreError as error:
            left.append(f"{name}: left behind: {error}")
            continue
        if parcel.state != "pending" and not boxes.put(parcel):
            left.append(f"{name}: left behind: {boxes.lack(parcel.size)}")
        if parcel.state == "pending" and folder.state() == "running":
            young[name] = folder.run().resources.checkpoint_seconds
    return left, young


def _turn(folder: RunFolder) -> tuple[float, Path]:
    """Smaller is sooner: what has ended, then by the share of the steps that is left, as far as the curve tells."""
    if folder.result() is not None or folder.diverged():
        return -1.0, folder.path
    rows = folder.curve_rows()
    try:
        steps = folder.run().recipe.steps
    except StoreError:  # its turn says what is wrong
        steps = 0
    return 1 - rows[-1]["step"] / steps if rows and steps else 1.0, folder.path


def _add_weights(boxes: Boxes, packed: Iterable[Parcel], runs: Path) -> list[str]:
    """Adds the weights of finished runs to their results; a line for each that stay behind."""
    behind = []
    for parcel in (parcel for parcel in packed if parcel.state == "done"):
        try:
            heavier = with_weights(parcel, RunFolder(runs / parcel.name))
        except StoreError as error:
            behind.append(f"{parcel.name}: its weights are left behind: {error}")
            continue
        if heavier and not boxes.swap(parcel, heavier):
            behind.append(f"{parcel.name}: its weights are left behind: {boxes.lack(heavier.size)}")
    return behind


def _publish(staging: Path, out: Path) -> None:
    """Renames the new archives over the old ones, then removes those that are no longer of the set."""
    new = archives_in(staging)
    try:
        for path in new:
            path.replace(out / path.name)
    except OSError as error:
        raise StoreError(
            f"archives cannot be renamed from {staging} into {out} ({error.strerror}): the two have to be on one file "
            f"system; give a folder below it, such as {out / 'runs'}"
        ) from None
    for path in archives_in(out):
        if path.name not in {one.name for one in new}:
            path.unlink()


def _tell(out: Path, boxes: Boxes, left: Iterable[str], say: Say) -> None:
    for number, box in enumerate(boxes.parcels, 1):
        for parcel in box:
            weights = " with its weights" if parcel.state == "done" and CHECKPOINT in parcel.files else ""
            say(f"{parcel.name}: {words(parcel)}{weights}, {parcel.size / MIB:.2f} MiB, in runs-{number}.tar")
    for line in left:
        say(line)
    size = sum(path.stat().st_size for path in archives_in(out))
    count = sum(map(len, boxes.parcels))
    say(f"{out}: {counted(count, 'run')} in {counted(len(boxes.parcels), 'archive')}, {size / MIB:.2f} MiB")


def words(parcel: Parcel) -> str:
    """How far a run has come."""
    return parcel.state if parcel.state == "done" else f"{parcel.state}, at step {parcel.step:,}"
