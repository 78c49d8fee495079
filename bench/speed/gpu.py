"""`python -m bench speed gpu`: whether a GPU computes what it should, and the fastest way to train Table 6's nets.

First a table of convolutions, which says whether the stem is to be padded, then the checks, then the time of a step in
every way, then crews. A way that fails is named and left out. The fastest whose checks passed is kept for this
hardware; bench.sweep takes it for runs that begin from then on. Results are written as they come: a way that hangs
loses nothing of the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from bench import __version__
from bench.launch import concurrency
from bench.launch.concurrency import Measurement
from bench.machine import cores, hardware
from bench.nets.counts import multiply_adds
from bench.spec import BATCH_NORMS, Net, Recipe, Way
from bench.speed import gpu_checks as checks
from bench.speed.convolutions import Convolution, convolutions, floor_seconds, padding_pays
from bench.speed.gpu_checks import Bench, Check, begun, checked, updates
from bench.speed.kept import Kept
from bench.speed.timing import wait
from bench.tasks.classification import synthetic
from bench.tasks.classification.cifar import Images
from bench.train.trainer import Trainer
from bench.train.turns import Slot, Work, device_is_lost

TABLE6 = tuple(Net("cifar", depth, shortcut) for depth in (110, 56, 44, 32, 20) for shortcut in ("A", "none"))
PAIR = (Net("cifar", 20, "A"), Net("cifar", 110, "none"))
CREWS = (1, 4, 10)
CREW, COPIED = "crew = alone", "copied weights = autocast"  # checks
STEPS = 64_000  # of a run at the paper's schedule
WAY_SECONDS, CREW_SECONDS = 2.0, 6.0
WARM = 6  # steps before any are timed: the graph's eager ones, its capture, and replays


@dataclass(frozen=True, slots=True)
class Rate:
    """A step of a net in one way, alone: milliseconds."""

    way: Way
    precision: str
    net: Net
    milliseconds: float


@dataclass
class Found:
    """All that was found; `keep` writes it to `file`.

    padded_stem: whether ways that can have it do. seconds_a_seed: of the ten nets of Table 6 without the tests;
    floor_seconds: what memory traffic alone takes of them.
    """

    device: str
    file: Kept | None
    checks: list[Check] = field(default_factory=list)
    convolutions: list[Convolution] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    way: Way | None = None
    at_once: int = 1
    padded_stem: bool = False
    gains: dict[int, float] = field(default_factory=dict)
    seconds_a_seed: float = math.nan
    floor_seconds: float = math.nan

    def keep(self) -> None:
        """Writes the file anew."""
        if self.file is not None:
            values = {name: None if value is math.nan else value for name, value in asdict(self).items()}
            self.file.write({name: value for name, value in values.items() if name != "file"})

    def passed(self, *names: str) -> bool:
        """Whether those checks were made and passed."""
        return set(names) <= {check.name for check in self.checks if check.passed}

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Notes an error as what was left out, such as for want of a compiler or memory. Raises it on a lost device."""
        try:
            yield
        except Exception as error:
            self.failed.append(f"{what}: {type(error).__name__}: {error}".splitlines()[0])
            _end_if_lost()


def measure(images: Images | None, seconds: float, file: Kept | None, device: torch.device, *, rehearse: bool) -> int:
    """Everything, in about so many seconds; the exit code: 0, or 1 where no way to train is right.

    rehearse: on a CPU with small nets and a few steps, to try the command itself; nothing is kept for plans.
    """
    bench, found, ends = _bench(images, device, rehearse), Found(hardware(), file), time.monotonic() + seconds
    print(f"{found.device}, torch {torch.__version__}; batches of {bench.recipe.batch}", flush=True)
    try:
        for part in (_table, _check, _rates, _crews):
            part(bench, found, ends)
            found.keep()
    except RuntimeError as error:
        print(f"the device is lost: {error}; the rest is left out")
    _say_result(found, rehearse)
    found.keep()
    return 0 if found.way is not None else 1


def _bench(images: Images | None, device: torch.device, rehearse: bool) -> Bench:
    recipe = Recipe(precision="bf16")
    if rehearse:
        torch.set_num_threads(1)
        nets = (Net("cifar", 8, "A"), Net("cifar", 14, "none"))
        return Bench(synthetic.stand_in(200, 50).to(device), replace(recipe, batch=8, bn_group=4), nets, 8)
    return Bench((images or synthetic.stand_in()).to(device), recipe, PAIR, 200)


def ways(device: torch.device, *, padded_stem: bool = False) -> Iterator[Way]:
    """Every way to make steps there, the likely best first, compiled ones last; the stem padded where it can be."""
    on_gpu = device.type == "cuda"
    for compiled in (False, True) if on_gpu else (False,):
        for graph in (True, False) if on_gpu else (False,):
            for batch_norm in reversed(BATCH_NORMS if on_gpu else BATCH_NORMS[:2]):
                if not (compiled and batch_norm == "fused"):  # torch.compile fuses batch norm itself
                    yield Way(graph, compiled, batch_norm, padded_stem and batch_norm != "passes")


def _table(bench: Bench, found: Found, ends: float) -> None:
    """The convolutions; whether the stem is to be padded."""
    found.floor_seconds = STEPS * floor_seconds(bench, TABLE6)
    print("convolutions of 3x3, ms forward, by inputs, by weights:")
    with found.attempt("the other convolutions"):
        for one in convolutions(bench, 20 if bench.on_gpu else 1):
            if time.monotonic() > ends:
                return
            found.convolutions.append(one)
            print(f"  {one.name:18}  {one.kind:32}  {one.forward:.3f}  {one.inputs:.3f}  {one.weights:.3f}", flush=True)
    _end_if_lost()
    if padding_pays(found.convolutions):
        _add(found, "padded stem", partial(checks.padded_stem, bench))
        found.padded_stem = found.passed("padded stem")


def _check(bench: Bench, found: Found, ends: float) -> None:
    """The checks of single parts, then those of each way that is not compiled."""

    def check(name: str, work: Callable[[], str]) -> None:
        if time.monotonic() <= ends:
            _add(found, name, work)

    if bench.on_gpu:
        check("fused batch norm", partial(checks.fused_batch_norm, bench))
    check("fused SGD", partial(checks.fused_sgd, bench))
    check(COPIED, partial(checks.copied_is_autocast, bench, Way(batch_norm="grouped")))
    for way in ways(bench.device, padded_stem=found.padded_stem):
        if way.graph and not way.compile:
            check(f"{way}: graph = eager", partial(checks.graph_is_eager, bench, way))
        if not way.compile:
            check(f"{way}: resume", partial(checks.resumes, bench, way))
            check(f"{way}: NaN", partial(checks.nan_shows, bench, way))
            check(f"{way}: {CREW}", partial(checks.together_is_alone, bench, way))


def _add(found: Found, name: str, work: Callable[[], str]) -> None:
    """Makes a check and prints its outcome."""
    check = checked(name, work)
    found.checks.append(check)
    print(f"{'right' if check.passed else 'WRONG'}  {check.name}: {check.words}", flush=True)
    _end_if_lost()


def _end_if_lost() -> None:
    if device_is_lost():
        raise RuntimeError("CUDA no longer answers")


def is_right(way: Way, found: Found) -> bool:
    """Whether the way's checks passed; of a compiled one, which rounds differently, those of its eager kind."""
    plain = replace(way, compile=False)
    needed = [f"{plain}: resume", f"{plain}: NaN", *([f"{plain}: graph = eager"] if way.graph else [])]
    needed += ["fused batch norm"] if way.batch_norm == "fused" else []
    needed += [COPIED] if way.one_pass else []
    return found.passed(*needed)


def _rates(bench: Bench, found: Found, ends: float) -> None:
    """Each right way with both nets, in two thirds of the time left: the rest is for the crews."""
    until = time.monotonic() + (ends - time.monotonic()) * 2 / 3
    for way in ways(bench.device, padded_stem=found.padded_stem):
        if time.monotonic() > until or not is_right(way, found):
            found.failed.append(f"{way}: left out, " + ("no time left" if time.monotonic() > until else "not right"))
            continue
        with found.attempt(str(way)):
            mine = [Rate(way, "bf16", net, _step_ms(bench, net, way)) for net in bench.nets]
            found.rates += mine
            print(f"  {way!s:32}  " + "  ".join(f"{r.net.name} {r.milliseconds:.2f} ms" for r in mine), flush=True)
            if found.way is None or _seconds_alone(bench, found, way) < _seconds_alone(bench, found, found.way):
                found.way, found.seconds_a_seed = way, _seconds_alone(bench, found, way)
        found.keep()


def _step_ms(bench: Bench, net: Net, way: Way) -> float:
    slot = Slot()
    trainer = begun(slot, partial(bench.trainer, net, way), WARM)
    wait(bench.device)
    seconds, many = (WAY_SECONDS, 10) if bench.on_gpu else (0.2, 1)
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        slot.finish(updates(trainer, many))
        wait(bench.device)
    return 1e3 * passed / (trainer.step - WARM)


def _alone_ms(found: Found, way: Way, net: Net) -> float:
    """A step at any depth, on the line through the two measured nets."""
    one, other = (rate for rate in found.rates if rate.way == way)
    slope = (other.milliseconds - one.milliseconds) / (other.net.depth - one.net.depth)
    return max(one.milliseconds + slope * (net.depth - one.net.depth), 1e-6)


def _seconds_alone(bench: Bench, found: Found, way: Way) -> float:
    """The ten nets of Table 6 at the paper's schedule, one after another."""
    return STEPS * sum(_alone_ms(found, way, net) for net in _nets(bench)) / 1e3


def _nets(bench: Bench) -> tuple[Net, ...]:
    return TABLE6 if bench.nets == PAIR else bench.nets


def _crews(bench: Bench, found: Found, ends: float) -> None:
    """The gain of crews of the best way: the time that their steps take alone by the time that they take."""
    way = found.way
    if way is None:
        return
    if not found.passed(f"{replace(way, compile=False)}: {CREW}"):
        found.failed.append("crews: nets side by side do not have the bits that they have alone")
        return
    alone = found.seconds_a_seed
    for count in CREWS if bench.nets == PAIR else (1, 2):
        if time.monotonic() > ends:
            found.failed.append(f"a crew of {count}: no time left")
            continue
        with found.attempt(f"a crew of {count}"):
            gain = found.gains[count] = _gain(bench, found, way, count)
            print(f"  a crew of {count}: {gain:.2f} times one at a time", flush=True)
            if gain >= found.gains.get(found.at_once, 0.0):
                found.at_once, found.seconds_a_seed = count, alone / gain
        found.keep()


def _gain(bench: Bench, found: Found, way: Way, count: int) -> float:
    nets = _nets(bench)[:count]
    slots = [Slot(urgent=net.depth >= 110) for net in nets]
    trainers = [begun(slot, partial(bench.trainer, net, way), WARM) for slot, net in zip(slots, nets, strict=True)]
    wait(bench.device)
    seconds = CREW_SECONDS if bench.on_gpu else 0.3
    start = time.perf_counter()
    checks.take_turns([(s, _until(t, start + seconds)) for s, t in zip(slots, trainers, strict=True)])
    wait(bench.device)
    passed = time.perf_counter() - start
    alone = sum((t.step - WARM) * _alone_ms(found, way, net) for t, net in zip(trainers, nets, strict=True))
    return alone / (1e3 * passed)


def _until(trainer: Trainer, end: float) -> Work[None]:
    while time.perf_counter() < end:
        trainer.update()
        yield None


def _say_result(found: Found, rehearse: bool) -> None:
    for words in found.failed:
        print(f"left out  {words}")
    if found.way is None:
        print("no way to train passed its checks: do not train on this device")
        return
    nets = "the two small nets of a rehearsal" if rehearse else "the ten nets of Table 6"
    seconds = f"{found.seconds_a_seed:,.0f} s a seed of {nets}"
    print(f"fastest: {found.way}, {found.at_once} at once: {seconds} at the paper's schedule, without the tests")
    if not rehearse:
        print(f"memory traffic alone takes {found.floor_seconds:,.0f} s a seed at this device's copying rate")
        print(f"runs that begin on this GPU from now on train this way: kept in {_keep_for_plans(found)}")


def _keep_for_plans(found: Found) -> Path:
    """The crews' throughput and the way."""
    assert found.way is not None
    largest = max(TABLE6, key=multiply_adds)
    alone = 1e3 * Recipe().batch / _alone_ms(found, found.way, largest)
    about = (largest.name, multiply_adds(largest), Recipe().batch, "bf16")
    gains = found.gains or {1: 1.0}
    rows = [Measurement(*about, count, 1, cores(), alone * gain) for count, gain in sorted(gains.items())]
    return concurrency.keep(rows, way=asdict(found.way), torch=str(torch.__version__), bench=__version__)
