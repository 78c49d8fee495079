"""The Triton kernels of batch norm: their numbers in Triton's interpreter, their machine code for an H100."""

from __future__ import annotations

import copy
import inspect
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.train.checkpoint import weights_digest
from bench.train.grouped_bn import group_batch_norm, grouped
from tests.train.interpreted_bn import CASES, Case, errors, layer_of

triton = pytest.importorskip("triton", reason="no Triton: it comes with torch's CUDA builds")

TOLERANCE = {"fp32": 1e-6, "bf16": 5e-3}  # of the largest distance from fp64


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    """What the kernels make in the interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.interpreted_bn"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_outputs_gradients_and_running_statistics_are_those_of_fp64(interpreted: dict[str, Any], case: Case) -> None:
    found = interpreted["errors"][repr(case)]

    assert set(found) == {"y", "dx", "dweight", "dbias", "running mean", "running variance"} | (
        {"dshortcut"} if case.shortcut else set()
    )
    for name, error in found.items():
        assert error <= TOLERANCE[case.precision], name


@pytest.mark.parametrize("which", ["x", "shortcut"])
def test_a_nan_reaches_its_own_group_and_channel_and_nothing_else(interpreted: dict[str, Any], which: str) -> None:
    assert interpreted["nan"][which]["NaN where it should be"]


@pytest.mark.parametrize("which", ["x", "shortcut"])
def test_the_relu_passes_a_nan_and_its_gradient_as_torchs_does(interpreted: dict[str, Any], which: str) -> None:
    assert all(interpreted["nan"][which].values()), interpreted["nan"][which]


def test_a_net_trained_with_the_kernels_is_the_one_trained_with_plain_groups(interpreted: dict[str, Any]) -> None:
    assert interpreted["trained"] < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_a_gpu_gives_the_numbers_of_fp64(case: Case) -> None:
    assert max(errors(case, "cuda").values()) <= TOLERANCE[case.precision]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_lies_on_no_gpu_goes_by_plain_groups(dtype: torch.dtype) -> None:
    plain, x = layer_of(3).to(dtype), torch.randn(4, 3, 5, 5, dtype=dtype)
    fused = copy.deepcopy(plain)
    group_batch_norm(fused, 2, fused=True)
    assert fused.kernel is not None

    assert torch.equal(fused.kernel(fused, x, x, True), grouped(plain, x, x, True, groups=2))
    assert weights_digest(fused.state_dict()) == weights_digest(plain.state_dict())


def test_every_part_of_every_map_has_rows_and_all_rows_are_in_parts() -> None:
    from bench.train.fused_bn import CELLS, MERGED, plan

    for n in (2, 49, 98, 196, 1568, 4096, 65536, 802816):
        for channels in (1, 3, 16, 48, 64, 256, 2048):
            for groups in (1, 2, 4, 8):
                cut = plan(n, channels, groups)

                assert cut.parts == math.ceil(n / cut.part)
                assert cut.tiles == math.ceil(n / cut.tile)
                assert cut.part % cut.chunk == cut.tile % cut.chunk == 0
                assert cut.chunk * cut.block <= CELLS
                assert cut.merged * cut.block <= MERGED


# (images, channels, side, groups): the CIFAR nets' maps at the paper's batch; the last and the first of ResNet-50
MAPS = [(128, 16, 32, 2), (128, 32, 16, 2), (128, 64, 8, 2), (256, 2048, 7, 8), (256, 64, 112, 8)]


@pytest.mark.parametrize(("images", "channels", "side", "groups"), MAPS)
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("kernel", ["measure", "normalise", "sum_gradients", "differentiate"])
def test_no_kernel_for_an_h100_spills_a_register(
    kernel: str,
    dtype: str,
    images: int,
    channels: int,
    side: int,
    groups: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bench.train import bn_kernels, fused_bn

    if bn_kernels.INTERPRETED:
        pytest.skip("TRITON_INTERPRET is set: there is nothing to compile")
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not tool.exists():
        pytest.skip("this Triton has no cuobjdump")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    cut = fused_bn.plan(images // groups * side * side, channels, groups)
    binary = tmp_path / "kernel.cubin"

    binary.write_bytes(compiled(getattr(bn_kernels, kernel), dtype, {**asdict(cut), "add": True, "relu": True}))

    used = subprocess.run([tool, "--dump-resource-usage", binary], capture_output=True, text=True, check=True).stdout
    usage = dict(re.findall(r"(\w+):(\d+)", used))
    assert (usage["STACK"], usage["LOCAL"]) == ("0", "0")


def compiled(kernel: Any, dtype: str, constants: dict[str, Any]) -> bytes:
    """The kernel's code for an H100, of maps of `dtype`; everything else that it reads is fp32."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    maps = {"x_ptr", "y_ptr", "shortcut_ptr", "dx_ptr", "dy_ptr", "dshortcut_ptr"}
    names = list(inspect.signature(kernel.fn).parameters)
    kinds = {name: f"*{dtype}" if name in maps else "*fp32" for name in names if name.endswith("_ptr")}
    kinds |= {name: "fp32" for name in names if name in ("momentum", "eps")}
    source = ASTSource(
        fn=kernel,
        signature={name: kinds.get(name, "constexpr") for name in names},
        constexprs={name: constants[name] for name in names if name not in kinds},
        attrs={(place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if name.endswith("_ptr")},
    )
    code: bytes = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]
    return code


class Device:
    """What Triton asks of an H100: what is launched on it is noted by name."""

    def __init__(self) -> None:
        self.launched: list[str] = []
        self.utils = self

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_device_properties(self, _: int) -> dict[str, int]:
        return {"max_shared_mem": 232_448}

    def load_binary(self, name: str, *_: object) -> tuple[str, str, int, int, int]:
        return name, name, 0, 0, 1024

    def launcher_cls(self, source: Any, _: object) -> Any:
        return lambda *_: self.launched.append(source.fn.__name__)


@pytest.fixture
def h100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    from triton.runtime.driver import driver

    from bench.train import bn_kernels

    if bn_kernels.INTERPRETED:
        pytest.skip("TRITON_INTERPRET is set: there is nothing to compile")
    device = Device()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(driver, "_active", device)
    kernels = (bn_kernels.measure, bn_kernels.normalise, bn_kernels.sum_gradients, bn_kernels.differentiate)
    for kernel in kernels:
        monkeypatch.setattr(kernel, "device_caches", type(kernel.device_caches)(kernel.create_binder))
    return device


def test_what_is_compiled_ahead_is_all_that_a_step_needs(h100: Device, tmp_path: Path) -> None:
    """Two variants of the kernels that know of the shortcut, one of those that do not; no launch compiles another."""
    from bench.train import fused_bn

    shape = (8, 16, 8, 8)
    assert fused_bn.compile_ahead([shape], 2, torch.bfloat16) > 0
    assert h100.launched == []
    compiled_there = sorted(path.name for path in tmp_path.glob("*/*.cubin"))
    assert Counter(compiled_there) == Counter(
        {"measure.cubin": 1, "normalise.cubin": 2, "sum_gradients.cubin": 1, "differentiate.cubin": 2}
    )
    for with_shortcut in (False, True):
        fused_bn._forward_backward(shape, 2, torch.bfloat16, with_shortcut=with_shortcut)

    assert h100.launched == ["measure", "normalise", "sum_gradients", "differentiate"] * 2
    assert sorted(path.name for path in tmp_path.glob("*/*.cubin")) == compiled_there


@pytest.mark.usefixtures("h100")
def test_what_cannot_be_compiled_ahead_fails_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.train import fused_bn

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of registers")

    monkeypatch.setattr(triton.compiler, "compile", fail)

    fused_bn.compile_ahead([(8, 16, 8, 8)], 2, torch.bfloat16)
    assert not fused_bn._only_compiles
    with pytest.raises(RuntimeError, match="out of registers"):
        fused_bn._forward_backward((8, 16, 8, 8), 2, torch.bfloat16, with_shortcut=False)
