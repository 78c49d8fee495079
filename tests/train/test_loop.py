"""The training loop against plain references, and resuming to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.nets.resnet import cifar
from bench.train import checkpoint, loop
from bench.train.checkpoint import weights_digest
from bench.train.graph import WARM, Captured
from bench.train.loop import StoppedError, train
from bench.train.metrics import Evaluation, evaluate
from bench.train.trainer import DivergedError, Trainer
from bench.train.turns import Work, finish, ready
from tests.recorded import capture
from tests.train.builders import IMAGES, LABELS, Fixed, Says, hooks, run, trainer


def test_a_step_is_torchs_sgd_on_the_mean_cross_entropy() -> None:
    ours = trainer()
    net = copy.deepcopy(ours.net)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    stream = Fixed()
    for _ in range(3):
        x, y = stream.draw()
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        ours.update()

    assert weights_digest(ours.net.state_dict()) == weights_digest(net.state_dict())


def test_batch_norm_groups_are_two_forward_passes_whose_gradients_are_averaged() -> None:
    """What the paper's two GPUs did with a batch of 128, here with 8."""
    ours = trainer(bn_group=4)
    net = copy.deepcopy(ours.net)
    x, y = Fixed().draw()
    losses = [F.cross_entropy(net(x[half]), y[half]) for half in (slice(0, 4), slice(4, 8))]
    gradients = torch.autograd.grad((losses[0] + losses[1]) / 2, list(net.parameters()))

    ours.update()

    for (name, parameter), gradient in zip(ours.net.named_parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-6), name
    whole = trainer(bn_group=8)
    whole.update()
    assert weights_digest(whole.net.state_dict()) != weights_digest(ours.net.state_dict())


def test_the_curve_has_the_mean_of_each_window_and_the_test_where_asked() -> None:
    t = trainer()
    run(t, steps=9)

    assert [row["step"] for row in t.curve] == [2, 4, 6, 8, 9]
    assert [row["step"] for row in t.curve if "test_error" in row] == [4, 8, 9]
    assert [row["rate"] for row in t.curve] == [0.1, 0.1, 0.01, 0.01, 0.01]
    again = trainer()
    again.update()
    first = again.window()
    again.curve.append(first)
    again.update()
    assert t.curve[0]["loss"] == pytest.approx((first["loss"] + again.window()["loss"]) / 2)


def test_a_training_stopped_in_a_test_begins_with_that_test_when_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BEAT_SECONDS", 0.0)  # asked after each batch of a test, too
    straight, stopped, resumed = trainer(), trainer(), trainer()
    saved: list[dict[str, Any]] = []

    def goes(t: Trainer, **options: Any) -> None:
        test: Callable[[], Any] = lambda: evaluate(t.net, lambda x: x.float(), IMAGES, LABELS, batch=10)  # noqa: E731
        finish(train(t, steps=9, curve_every=2, test_every=4, test=test, hooks=hooks(**options)))

    goes(straight)
    with pytest.raises(StoppedError, match="stopped in the test of step 4"):
        goes(stopped, stop_after=5, saved=saved)  # after three steps and one of the test's three batches
    assert "test_error" not in saved[-1]["curve"][-1]
    resumed.load_state_dict(saved[-1])
    goes(resumed)

    assert resumed.curve == straight.curve
    assert weights_digest(resumed.net.state_dict()) == weights_digest(straight.net.state_dict())


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 8])
def test_a_training_stopped_at_any_step_goes_on_to_the_same_bits(stop_after: int, tmp_path: Path) -> None:
    straight = trainer(bn_group=4)
    run(straight)
    stopped = trainer(bn_group=4)
    saved: list[dict[str, Any]] = []
    with pytest.raises(StoppedError, match=f"step {stop_after} of 9"):
        run(stopped, stop_after=stop_after, saved=saved)
    checkpoint.save(tmp_path / "c.pt", saved[-1])

    resumed = trainer(bn_group=4)
    torch.manual_seed(123)
    state = checkpoint.load(tmp_path / "c.pt")
    assert state is not None
    resumed.load_state_dict(state)
    run(resumed)

    assert weights_digest(resumed.net.state_dict()) == weights_digest(straight.net.state_dict())
    assert resumed.curve == straight.curve


def test_a_loss_that_is_no_number_ends_the_training_with_its_step() -> None:
    with pytest.raises(DivergedError, match="the training loss is nan at step 6"):
        run(trainer(spoil_at=5))


def test_bf16_is_another_recipe_and_keeps_its_weights_in_fp32() -> None:
    half, full = trainer(precision="bf16"), trainer()
    for t in (half, full):
        run(t, steps=4)

    assert weights_digest(half.net.state_dict()) != weights_digest(full.net.state_dict())
    assert {p.dtype for p in half.net.parameters()} == {torch.float32}
    assert half.curve[-1]["loss"] == pytest.approx(full.curve[-1]["loss"], rel=0.05)


@pytest.mark.parametrize("batch", [1, 7, 30, 500])
def test_evaluation_counts_every_image_once_in_order_whatever_the_batch(batch: int) -> None:
    images = torch.zeros(30, 3, 32, 32, dtype=torch.uint8)
    images[:, 0, 0, 0] = LABELS
    images[[3, 17], 0, 0, 0] += 1
    net = Says().train()

    measured = finish(evaluate(net, lambda x: x.float(), images, LABELS, batch=batch))

    assert measured.error == pytest.approx(100 * 2 / 30)
    assert (~measured.correct).nonzero().flatten().tolist() == [3, 17]
    assert net.training


def test_a_test_that_was_stopped_comes_first_when_the_training_goes_on() -> None:
    """Its row of the curve is there and waits for it; nothing is trained or tested twice."""
    straight, stopped, tests = trainer(), trainer(), []

    def test_of(one: Trainer, *, stops: bool = False) -> Callable[[], Work[Evaluation]]:
        def test() -> Work[Evaluation]:
            tests.append(one.step)
            if stops and one.step == 4:
                raise StoppedError("in a test")
            return ready(Evaluation(torch.tensor([True, False]), float(one.step)))

        return test

    about: dict[str, Any] = {"steps": 6, "curve_every": 2, "test_every": 4}
    finish(train(straight, **about, test=test_of(straight), hooks=hooks()))
    saved: list[dict[str, Any]] = []
    with pytest.raises(StoppedError, match="in a test"):
        finish(train(stopped, **about, test=test_of(stopped, stops=True), hooks=hooks(saved=saved)))
    assert saved[-1]["step"] == 4
    again = trainer()
    again.load_state_dict(saved[-1])
    tests.clear()

    last = finish(train(again, **about, test=test_of(again), hooks=hooks()))

    assert tests == [4, 6]
    assert again.curve == straight.curve
    assert last.loss == 6


def test_a_checkpoint_of_resnet_110_can_be_carried(tmp_path: Path) -> None:
    """With its momentum: below the 16 MiB that a short stretch on a borrowed machine brings home."""
    carried = trainer()
    carried = Trainer(cifar(110, "A"), carried.batches, carried.rate, 0.9, 1e-4, bn_group=8)
    carried.update()

    checkpoint.save(tmp_path / "checkpoint.pt", carried.state_dict())

    assert (tmp_path / "checkpoint.pt").stat().st_size < 16 * 2**20


def with_fused_sgd(*, graphs: list[int] | None = None) -> Trainer:
    """graphs: makes its steps by what stands for a CUDA graph on a CPU, and counts there how many it captured."""

    def counted(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        assert graphs is not None
        graphs.append(len(graphs))
        return capture(work)

    t = trainer(4)
    captured = None if graphs is None else Captured(counted)
    return Trainer(t.net, t.batches, t.rate, 0.9, 1e-4, 4, captured=captured, fused_sgd=True)


def test_a_captured_step_is_the_step_by_one_graph_for_all_rates() -> None:
    """The rate falls at step 5, after the capture: a rate that the graph took as a number would stay."""
    graphs: list[int] = []
    plain, captured = with_fused_sgd(), with_fused_sgd(graphs=graphs)
    run(plain)
    run(captured)

    assert weights_digest(captured.net.state_dict()) == weights_digest(plain.net.state_dict())
    assert captured.curve == plain.curve
    assert graphs == [0]


@pytest.mark.parametrize("stop_after", [1, 4, 5, 7])
def test_a_captured_training_goes_on_to_the_same_bits_across_a_drop_of_the_rate(stop_after: int) -> None:
    graphs: list[int] = []
    straight, stopped, resumed = with_fused_sgd(), with_fused_sgd(graphs=[]), with_fused_sgd(graphs=graphs)
    run(straight)
    saved: list[dict[str, Any]] = []
    with pytest.raises(StoppedError):
        run(stopped, stop_after=stop_after, saved=saved)
    assert type(saved[-1]["optimizer"]["param_groups"][0]["lr"]) is float
    for _ in range(WARM + 1):
        resumed.update()  # a graph of other tensors, to be forgotten
    resumed.load_state_dict(saved[-1])
    run(resumed)

    assert weights_digest(resumed.net.state_dict()) == weights_digest(straight.net.state_dict())
    assert resumed.curve == straight.curve
    assert len(graphs) == 1 + (9 - stop_after > WARM)


def test_a_checkpoint_is_the_same_file_however_the_step_is_made() -> None:
    """A usual training takes up what a fused one has saved, and the other way round, with its own kernels."""
    for first, second in ((trainer(4), with_fused_sgd()), (with_fused_sgd(), trainer(4))):
        first.update()
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        own = second.optimizer.param_groups[0]["fused"]
        second.update()
        first.update()

        assert second.optimizer.param_groups[0]["fused"] is own
        ours, theirs = (torch.cat([p.flatten() for p in t.net.parameters()]) for t in (first, second))
        assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-7)


class OnGpu(Fixed):
    def draw(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        x, y = super().draw(part)
        return x.cuda(), y.cuda()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cuda_graph_gives_the_bits_of_single_kernels(precision: str) -> None:
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    digests = []
    for graph in (False, True):
        t = trainer(4, precision)
        t.net.cuda().to(memory_format=torch.channels_last)
        t.batches = OnGpu()
        t.captured = Captured() if graph else None
        for _ in range(20):
            t.update()
        digests.append((weights_digest(t.net.state_dict()), t.window()["loss"]))
    assert digests[0] == digests[1]
