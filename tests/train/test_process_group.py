"""Several processes of one run: the numbers of one process, up to rounding.

Two or four gloo processes on this machine. `TOLERANCE` is what the order of additions moves.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public by its documentation

from bench.store import Rendezvous
from bench.train import rendezvous
from bench.train.loop import StoppedError
from bench.train.metrics import evaluate
from bench.train.process_group import PeerError, ProcessGroup, agree
from bench.train.rendezvous import joined
from bench.train.turns import finish
from tests.train.builders import IMAGES, LABELS, Says, in_processes, trainer

pytestmark = pytest.mark.team


TOLERANCE = 1e-5  # of a loss and of a running statistic


def three_steps(processes: ProcessGroup, bn_group: int) -> tuple[dict[str, Tensor], list[float]]:
    t = trainer(bn_group)
    t.processes = processes
    losses = []
    for _ in range(3):
        t.update()
        losses.append(t.window()["loss"])
    return t.net.state_dict(), losses


@pytest.mark.parametrize(("size", "bn_group"), [(2, 4), (2, 2), (4, 2)])
def test_a_step_of_several_processes_is_that_of_one(tmp_path: Path, size: int, bn_group: int) -> None:
    """Weights, running statistics (which groups move in turn) and the counts of their updates; all processes alike."""
    alone, losses = three_steps(ProcessGroup(), bn_group)

    (first, theirs), *others = in_processes(size, three_steps, tmp_path / "team", bn_group)

    for name, value in alone.items():
        assert torch.allclose(first[name], value, rtol=TOLERANCE, atol=TOLERANCE), name
    assert theirs == pytest.approx(losses, rel=TOLERANCE)
    for state, also in others:
        assert also == theirs
        assert all(torch.equal(state[name], first[name]) for name in first)


def test_two_processes_with_a_group_each_have_the_losses_of_one_to_the_bit(tmp_path: Path) -> None:
    """a + b is b + a: what the paper's two GPUs add."""
    _, losses = three_steps(ProcessGroup(), 4)

    (_, theirs), _ = in_processes(2, three_steps, tmp_path / "team", 4)

    assert theirs == losses


class Counts(Says):
    """Notes how many images it is shown."""

    seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return super().forward(x)


def evaluation(processes: ProcessGroup, net: nn.Module, images: Tensor, count: int) -> tuple[int, Tensor, float]:
    measured = finish(evaluate(net, lambda x: x.float(), images[:count], LABELS[:count], batch=4, processes=processes))
    return net.seen, measured.correct, measured.loss  # type: ignore[return-value]  # an int, as Counts has it


@pytest.mark.parametrize("count", [30, 29, 3])
def test_an_evaluation_counts_every_image_once_and_in_order(tmp_path: Path, count: int) -> None:
    """30 images by four are not equal parts, and of 3 images one process has none."""
    images = IMAGES.clone()
    images[:, 0, 0, 0] = LABELS
    images[[1, 17], 0, 0, 0] += 1
    _, correct, loss = evaluation(ProcessGroup(), Counts(), images, count)

    found = in_processes(4, evaluation, tmp_path / "team", Counts(), images, count)

    assert sum(seen for seen, _, _ in found) == count
    for _, also, other in found:
        assert torch.equal(also, correct)
        assert other == pytest.approx(loss, rel=1e-12)


def unequal(processes: ProcessGroup) -> str:
    assert not processes.any(False)
    assert processes.any(processes.rank == 1)
    assert processes.each(processes.rank) == [0, 1]
    assert processes.of_first(lambda: f"of {processes.rank}") == "of 0"
    with pytest.raises(ValueError, match="3 batch-norm groups a batch cannot be shared by 2 processes"):
        processes.own(3)
    with pytest.raises(PeerError) as error:
        agree(processes, device="cpu", data=f"set {processes.rank}")
    return str(error.value)


def test_processes_that_differ_all_say_so(tmp_path: Path) -> None:
    said = in_processes(2, unequal, tmp_path / "team")

    assert said == ["process 1 has another data than process 0: set 1, not set 0"] * 2


def never() -> bool:
    return False


def test_who_does_not_come_is_waited_for_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "SECONDS", 0.1)
    place = Rendezvous(tmp_path / "log" / "meeting.json")

    with pytest.raises(PeerError, match=r"process 0 of 2 did not call .*meeting.json within 0 min.*IFNAME"):
        joined(1, 2, place, never).__enter__()
    with pytest.raises(PeerError, match=r"not all of 2 processes came to .*, port \d+ within"):
        joined(0, 2, place, never).__enter__()
    with pytest.raises(PeerError, match="process 0 of 2 did not call"):
        joined(1, 2, place, never).__enter__()  # the file is still there, and nobody listens any more
    with pytest.raises(StoppedError):
        joined(1, 2, place, lambda: True).__enter__()
    place.end()
    with pytest.raises(PeerError, match="process 0 has ended for good"):
        joined(1, 2, place, never).__enter__()


def test_a_group_that_ends_while_one_joins_it_keeps_it_only_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call is read then; torch itself goes on with the old address for as long as a silence may last."""
    monkeypatch.setattr(rendezvous, "CONNECT_SECONDS", 0.5)
    place, found = Rendezvous(tmp_path / "log" / "meeting.json"), list[str]()

    def ends(listener: socket.socket) -> None:
        for _ in range(2):  # the question whether anybody listens, then the store's
            listener.accept()[0].close()
        listener.close()
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        store.set("token", "new")
        store.set("complete", "")
        place.call("127.0.0.1", store.port, "new")
        over.wait()

    def joins() -> None:
        found.append(rendezvous._find(1, 2, place, never).get("token").decode())

    over, listener = threading.Event(), socket.create_server(("127.0.0.1", 0))
    place.call("127.0.0.1", listener.getsockname()[1], "old")
    threads = [
        threading.Thread(target=ends, args=(listener,), daemon=True),
        threading.Thread(target=joins, daemon=True),
    ]
    for thread in threads:
        thread.start()
    threads[1].join(60)
    over.set()

    assert found == ["new"]
