"""Small images, as CIFAR-10's, in memory on the device as uint8; their batches: mean, crop and flip (Section 4.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data.cifar_files import Layout, layout_of, verify
from bench.data.locate import notice
from bench.data.shuffle import Shuffle

PAD = 4


@dataclass(frozen=True, slots=True)
class Images:
    """A labelled set: `train_x` (N, 3, S, S) uint8, S = 32 for CIFAR, and `train_y` (N,) int64, the same for test.

    digest: SHA-256 of all arrays, of a user's own behind the names of the classes. notice: the data owner's to readers,
    or "". names: of the classes, account: of the images, in words; of a user's own.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    digest: str
    notice: str = ""
    names: tuple[str, ...] = ()
    account: str = ""

    @property
    def classes(self) -> int:
        """One more than the highest label."""
        return 1 + max(int(y.max()) for y in (self.train_y, self.test_y))

    def to(self, device: torch.device) -> Images:
        """The same set on `device`."""
        moved = {name: getattr(self, name).to(device) for name in ("train_x", "train_y", "test_x", "test_y")}
        return replace(self, **moved)

    def holding_out(self, last: int, generator: torch.Generator) -> tuple[Images, Tensor, Tensor]:
        """The set without `last` of its training images, drawn by `generator`, and those images and labels."""
        order = torch.randperm(len(self.train_y), generator=generator).to(self.train_y.device)
        kept, held = order[:-last].sort().values, order[-last:].sort().values
        rest = replace(self, train_x=self.train_x[kept], train_y=self.train_y[kept])
        return rest, self.train_x[held], self.train_y[held]


def make_images(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    notice: str = "",
    *,
    names: tuple[str, ...] = (),
    account: str = "",
) -> Images:
    """Images with their digest."""
    sha = hashlib.sha256("\n".join(names).encode())
    for part in (train_x, _narrow(train_y), test_x, _narrow(test_y)):
        sha.update(part.contiguous().numpy().tobytes())
    return Images(train_x, train_y.long(), test_x, test_y.long(), sha.hexdigest(), notice, names, account)


def _narrow(labels: Tensor) -> Tensor:
    """Labels as bytes, as CIFAR has them, where they all fit."""
    return labels.to(torch.uint8) if int(labels.max()) < 256 else labels.long()


def load(folder: Path) -> Images:
    """A CIFAR data set from the folder that bench.data.cifar_files found. Raises DataError naming the bad file."""
    layout = layout_of(folder)
    verify(folder)
    read = _read_python if folder.name == layout.python else _read_binary
    return make_images(*read(folder, layout, train=True), *read(folder, layout, train=False), notice(folder))


def _read_python(folder: Path, layout: Layout, *, train: bool) -> tuple[Tensor, Tensor]:
    """The official pickles, by torchvision."""
    found = layout.torchvision()(str(folder.parent), train=train)
    return torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets)


def _read_binary(folder: Path, layout: Layout, *, train: bool) -> tuple[Tensor, Tensor]:
    """Records of the label bytes, of which the last counts, and 3,072 pixel bytes; RGB planes."""
    names = layout.train if train else layout.test
    raw = np.concatenate([np.fromfile(folder / f"{name}.bin", np.uint8) for name in names]).reshape(-1, layout.record)
    labels, pixels = raw[:, layout.labels - 1], raw[:, layout.labels :]
    return torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy()), torch.from_numpy(labels.copy())


@dataclass(frozen=True, slots=True)
class Prepare:
    """Images to inputs: pixels in [0, 1] minus the training set's per-pixel mean (3, S, S), channels last."""

    mean: Tensor

    @classmethod
    def of(cls, train_x: Tensor) -> Prepare:
        """With the mean image of `train_x`, summed in whole numbers so that no order of addition matters."""
        some = max(1, 10_000 * 32**2 // train_x[0, 0].numel())  # a part's whole numbers take 250 MB
        total = torch.stack([part.long().sum(0) for part in train_x.split(some)]).sum(0)
        return cls((total.double() / (255 * len(train_x))).float())

    def __call__(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 to float32."""
        return (x.float() / 255 - self.mean).contiguous(memory_format=torch.channels_last)


def draw_crops(count: int, generator: torch.Generator) -> Tensor:
    """Where each of `count` images is cut: first row and column, 0 to 8, and whether mirrored; (3, count) int64."""
    corner = torch.randint(0, 2 * PAD + 1, (2, count), generator=generator)
    return torch.cat((corner, torch.randint(0, 2, (1, count), generator=generator)))


def crop(x: Tensor, crops: Tensor) -> Tensor:
    """The crop of each image padded by 4 zeros a side, or of its mirror image, of its size and on its device.

    x: (N, 3, S, S), mean subtracted, so that the padding is the mean colour. Channels last.
    """
    n, _, height, width = x.shape
    row, column, mirrored = crops
    rows = row[:, None] + torch.arange(height, device=x.device)
    columns = column[:, None] + torch.arange(width, device=x.device)
    columns = torch.where(mirrored[:, None].bool(), columns.flip(1), columns)
    padded = F.pad(x, (PAD, PAD, PAD, PAD))
    image = torch.arange(n, device=x.device)[:, None, None]
    # indices around a slice put the channels last: the layout that the net wants
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Batches:
    """An endless stream of augmented batches: each epoch in a new order, batches running over its end.

    Every image comes once an epoch, whatever the batch, and `steps x batch` images in all, as iterations are
    counted in the paper. All randomness is the generator's, which lives on the CPU: a seed sees the same images, crops
    and mirrors in the same order on every device. augment: which of what is drawn for an image is used, see Recipe.
    """

    def __init__(
        self,
        images: Images,
        prepare: Callable[[Tensor], Tensor],
        batch: int,
        generator: torch.Generator,
        augment: str = "crop+flip",
    ) -> None:
        self.images, self.prepare, self.batch, self.generator = images, prepare, batch, generator
        self.augment = augment.split("+")
        self._shuffle = Shuffle(len(images.train_y), generator)
        self.state_dict, self.load_state_dict = self._shuffle.state_dict, self._shuffle.load_state_dict

    def draw(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """The next inputs (batch, 3, S, S) float32, channels last, and labels (batch,), or `part` of them.

        All of the batch is made, whatever the part: the random stream is one for all processes of a run.
        """
        x, y = self.make(self.choose().to(self.images.train_x.device))
        return x[part], y[part]

    def choose(self) -> Tensor:
        """What the next batch is made of, on the CPU: image, row, column and mirror, (4, batch) int64."""
        index = self._shuffle.draw(self.batch)
        crops = draw_crops(self.batch, self.generator)
        if "crop" not in self.augment:
            crops[:2] = PAD
        if "flip" not in self.augment:
            crops[2] = 0
        return torch.cat((index[None], crops))

    def make(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels of what was chosen, on the images' device, where `chosen` must be."""
        index = chosen[0]
        return crop(self.prepare(self.images.train_x[index]), chosen[1:]), self.images.train_y[index]


class Prefetched:
    """The choices of `batches` alone, BLOCK of them sent to the device at a time; a step makes its images by `maker`.

    Drawn one by one from the host, each batch would cost a GPU some forty launches outside the step's graph.
    """

    BLOCK = 200

    def __init__(self, batches: Batches) -> None:
        self.batches, self.batch, self.maker = batches, batches.batch, batches.make
        self._forget()

    def _forget(self) -> None:
        self._start, self._block, self._used = self.batches.state_dict(), torch.empty(0), 0

    def draw(self, part: slice = slice(None)) -> tuple[Tensor]:  # noqa: ARG002 - the process has all of the batch
        """The next choice, on the images' device."""
        if self._used == len(self._block):
            self._forget()
            block = torch.stack([self.batches.choose() for _ in range(self.BLOCK)])
            device = self.batches.images.train_x.device
            self._block = block.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else block
        self._used += 1
        return (self._block[self._used - 1],)

    def state_dict(self) -> dict[str, Any]:
        """The state of `batches` after as many draws as were made here."""
        ahead = self.batches.state_dict()
        self.batches.load_state_dict(self._start)
        for _ in range(self._used):
            self.batches.choose()
        state = self.batches.state_dict()
        self.batches.load_state_dict(ahead)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes where `state` was taken."""
        self.batches.load_state_dict(state)
        self._forget()
