"""bench verify --weights: exported weights do again what is published, and others do not."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree

import pytest
import torch

from bench.cli.commands import main
from bench.cli.sweep import main as sweep_main
from bench.data.locate import DataError
from bench.report.digests import differences
from bench.store import tensor_file
from bench.store.tensor_file import Raw

pytestmark = pytest.mark.usefixtures("figures_not_rendered")

RESULTS = Path("runs/tiny/results")


def test_exported_weights_do_again_what_is_published(
    tiny_sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep_main([str(tiny_sweep), "--scale", "quick", "--cluster", "inline"]) == 0
    assert main(["verify", "tiny", "--weights"]) == 2
    assert "no weights in runs/tiny/results/weights, runs/tiny/weights: `bench export" in capsys.readouterr().err
    assert main(["export", "tiny", "--weights"]) == 0
    assert main(["verify", "tiny", "--weights"]) == 0
    assert "2 files of weights, 0 problems; 0 finished runs" in capsys.readouterr().out
    rmtree(RESULTS.parent / "weights")
    assert main(["export", "tiny", "--weights", "--to", str(RESULTS / "weights"), "--only", "resnet-*"]) == 0
    assert differences(RESULTS) == [], "SHA256SUMS follows"
    path = next((RESULTS / "weights").iterdir())
    capsys.readouterr()

    assert main(["verify", "tiny"]) == 0
    assert main(["verify", "tiny", "--weights"]) == 0
    out = capsys.readouterr().out
    assert f"{path.stem}: each of 40 images as published, test error" in out
    assert "1 file of weights, 0 problems; 1 finished run without weights here" in out

    assert main(["export", "tiny", "--weights"]) == 0
    assert main(["verify", "tiny", "--weights", "runs/tiny/weights"]) == 0
    assert "2 files of weights, 0 problems; 0 finished runs" in capsys.readouterr().out

    forge(path)
    assert main(["verify", "tiny", "--weights"]) == 1
    assert "of 40 images not as published" in capsys.readouterr().err
    assert main(["verify", "tiny", "--weights", "runs/tiny/weights"]) == 1
    assert "its tensors are no weights that are published here" in capsys.readouterr().err
    rmtree(RESULTS.parent / "weights")

    rows = (RESULTS / "runs.csv").read_text()
    (RESULTS / "runs.csv").write_text(rows.replace(",12,0.1,6 9,", ",,0.1,6 9,"))
    assert main(["verify", "tiny", "--weights"]) == 1
    assert "its row is of no run: " in capsys.readouterr().err
    (RESULTS / "runs.csv").write_text(rows)

    def absent(*_: object) -> Path:
        raise DataError("nothing here")

    monkeypatch.setattr("bench.data.locate.nowhere", absent)
    assert main(["verify", "tiny", "--weights"]) == 0
    words = "the digests agree; its images were not tested, as the data are not here: nothing here"
    assert f"{path.stem}: {words}" in capsys.readouterr().out


def forge(path: Path) -> None:
    """Other weights under the run's name, with the row and the metadata to them: what digests alone cannot tell."""
    file = tensor_file.read(path)
    other = {name: _turned(raw) if name == "fc.weight" else raw for name, raw in file.tensors.items()}
    digest = tensor_file.TensorFile(other, {}).digest
    path.write_bytes(tensor_file.dumps(other.items(), {**file.about, "weights_sha256": digest}))
    rows = RESULTS / "runs.csv"
    rows.write_text(rows.read_text().replace(file.digest, digest))


def _turned(raw: Raw) -> Raw:
    values = torch.frombuffer(bytearray(raw.data), dtype=torch.float32).reshape(raw.shape)
    return raw._replace(data=values.flip(0).contiguous().numpy().tobytes())


@pytest.mark.data
def test_the_tracked_weights_do_again_what_is_published(bench_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of resnet-20 and of its plain twin, trained at the paper's schedule."""
    root = Path(__file__).resolve().parents[2] / "results"

    code = main(["verify", "plain_vs_residual", "--weights", "--results", str(root), "--data", str(bench_data)])

    told = capsys.readouterr()
    assert code == 0, told.err
    assert told.out.count(" of 10,000 images") == len(list((root / "plain_vs_residual" / "weights").iterdir()))
