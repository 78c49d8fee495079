"""Whether there is a CUDA device that trains, and what it is: `python -m tests.gpu.probe`. Exit code 2: there is none.

Ten eager steps of ResNet-20 in bf16 say how long a step takes where nothing cleverer works.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import time

import torch
import torch.nn.functional as F

from bench.cli.options import Parser
from bench.machine import cores, hardware, memory_gib
from bench.nets.resnet import cifar
from bench.speed.timing import copy_rate, wait

STEPS = 10


def describe(device: torch.device) -> None:
    """Prints what this machine is."""
    print(f"{hardware()}; Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"{cores()} CPU cores, {memory_gib():.0f} GiB of main memory")
    print(f"MPS: {shutil.which('nvidia-cuda-mps-control') or 'no nvidia-cuda-mps-control here'}")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        print(f"device memory: {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free")
        print(f"cuDNN {torch.backends.cudnn.version()}")
    rate = copy_rate(device, 2**28 if device.type == "cuda" else 2**22, times=20)  # larger than any cache
    print(f"copies on the device: {rate / 1e12:.2f} TB/s read and written")


def step_seconds(device: torch.device, batch: int) -> float:
    """The mean time of a step after two; raises where the loss is not finite."""
    torch.manual_seed(0)
    net = cifar(20, "A").to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), device=device)
    began = 0.0
    for step in range(2 + STEPS):
        if step == 2:
            began = _now(device)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
    seconds = (_now(device) - began) / STEPS
    if not torch.isfinite(loss):
        raise ArithmeticError(f"the loss of a first step is {loss.item()}")
    return seconds


def _now(device: torch.device) -> float:
    wait(device)
    return time.perf_counter()


def main() -> int:
    """Prints what is found."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="a CPU will do")
    args = parser.parse_args()
    if not (torch.cuda.is_available() or args.rehearse):
        print("no CUDA device: torch.cuda.is_available() is False")
        return 2
    device = torch.device("cpu" if args.rehearse else "cuda")
    if args.rehearse:
        torch.set_num_threads(1)
    describe(device)
    print(f"ten eager bf16 steps of ResNet-20: {1e3 * step_seconds(device, 8 if args.rehearse else 128):.2f} ms each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
