"""The reference: the loops of most reproductions, written plainly.

For CIFAR-10, PIL images through torchvision's transforms in a DataLoader, fp32, contiguous tensors, batch norm over
the whole batch, `loss.item()` every step. For ImageNet, torchvision's ImageFolder and transforms in a DataLoader.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from bench.tasks.classification.cifar import Images

NORMALIZE = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
IMAGENET = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class PilImages(Dataset[tuple[Tensor, int]]):
    """An in-memory set that gives PIL images to its transform, as torchvision's CIFAR10 does."""

    def __init__(self, x: Tensor, y: Tensor, transform: Callable[[Image.Image], Tensor]) -> None:
        self.x, self.y, self.transform = x.permute(0, 2, 3, 1).contiguous().numpy(), y.tolist(), transform

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.x[i])), self.y[i]


def training_batches(images: Images, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """An endless stream of shuffled, augmented, normalised batches. No workers is the fastest on two cores."""
    steps = [transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), transforms.ToTensor(), NORMALIZE]
    return _endless(PilImages(images.train_x, images.train_y, transforms.Compose(steps)), batch)


def imagenet_batches(
    folder: Path, batch: int, side: int, shorter: tuple[int, int] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """An endless stream from a folder of classes: Section 3.4's scale and crop, or without `shorter` Inception's."""
    scale = transforms.Lambda(lambda image: functional.resize(image, random.randint(*shorter or (0, 0))))
    crop = [scale, transforms.RandomCrop(side)] if shorter else [transforms.RandomResizedCrop(side)]
    steps = transforms.Compose([*crop, transforms.RandomHorizontalFlip(), transforms.ToTensor(), IMAGENET])
    return _endless(ImageFolder(folder, steps), batch)


def _endless(images: Dataset[tuple[Tensor, int]], batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(images, batch, shuffle=True, drop_last=True)
    while True:
        yield from loader


def training(net: nn.Module, images: Images, batch: int) -> Callable[[], float]:
    """Makes one training step of the usual loop at each call; the loss."""
    batches, device = training_batches(images, batch), next(net.parameters()).device
    optimizer = torch.optim.SGD(net.train().parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

    def step() -> float:
        x, y = (part.to(device) for part in next(batches))
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


@torch.no_grad()
def evaluate(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The usual test loop; the error in percent."""
    prepared = PilImages(images, labels, transforms.Compose([transforms.ToTensor(), NORMALIZE]))
    net.eval()
    wrong = sum(int((net(x).argmax(1) != y).sum()) for x, y in DataLoader(prepared, 128))
    return 100 * wrong / len(labels)
