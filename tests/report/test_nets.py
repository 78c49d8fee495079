"""reports/nets.md: Table 1 as the paper prints it, counts, and speeds where there are results."""

from __future__ import annotations

from pathlib import Path

from bench.nets.counts import multiply_adds
from bench.nets.speeds import Speed
from bench.report.nets import cifar_table, costs, nets_page, table1
from bench.spec import Net
from tests.report.builders import made_up_set


def test_table_1_is_the_papers() -> None:
    """Blocks and sides typed from the paper's Table 1; its FLOPs, where 50 layers are cut off instead of rounded."""
    rows = {row[0]: row for row in table1().rows}

    assert [rows[f"conv{k}_x"][1] for k in (2, 3, 4, 5)] == ["56x56", "28x28", "14x14", "7x7"]
    assert [str(cell).split(" x ")[-1] for cell in rows["conv2_x"][2:]] == ["2", "3", "3", "3", "3"]
    assert [str(cell).split(" x ")[-1] for cell in rows["conv3_x"][2:]] == ["2", "4", "4", "4", "8"]
    assert [str(cell).split(" x ")[-1] for cell in rows["conv4_x"][2:]] == ["2", "6", "6", "23", "36"]
    assert [str(cell).split(" x ")[-1] for cell in rows["conv5_x"][2:]] == ["2", "3", "3", "3", "3"]
    assert rows["conv5_x"][2] == "[3x3, 512; 3x3, 512] x 2"
    assert rows["conv4_x"][5] == "[1x1, 256; 3x3, 256; 1x1, 1024] x 23"
    words = ["the same", "the same", "the same, cut off instead of rounded", "the same", "the same"]
    assert [str(cell).split(": ")[1].rstrip(")") for cell in rows["FLOPs"][2:]] == words


def test_the_table_of_section_4_2_is_the_papers() -> None:
    table = cifar_table()

    assert table.header == ("output", "32x32", "16x16", "8x8")
    assert list(table.rows) == [("layers", "1+2n", "2n", "2n"), ("filters", "16", "32", "64")]


def test_a_net_with_results_shows_its_speed_and_any_other_a_dash(tmp_path: Path) -> None:
    rows = {row[:2]: row for row in costs(made_up_set(tmp_path).speeds).rows}

    # 100 steps of 128 images in 10 + 20 seconds
    assert rows["ResNet-20 (CIFAR-10)", "A"][2:] == ("269,722", "40,551,040", "0.7", "427", "–", "made up")
    assert rows["ResNet-50 (ImageNet)", "B"][2:] == ("25,557,032", "3,857,973,248", "40.4", "–", "–", "–")
    assert "## Table 1" in nets_page([])


def test_a_speed_at_a_smaller_side_is_extrapolated_to_the_listed_one_and_says_so() -> None:
    net = Net("imagenet", 18, "A")
    small = Speed(net.name, multiply_adds(net, 64), 32, "fp32", 44.0, "a chip", 300, 180.0, family=net.family)

    row = {row[:2]: row for row in costs([small]).rows}["ResNet-18 (ImageNet)", "A"]

    assert row[5:] == ("3.6", "15", "1/12 of the multiply-adds; a chip")


def test_every_family_is_listed_at_the_depths_that_its_papers_have() -> None:
    names = [row[:2] for row in costs([]).rows]

    assert ("pre-activation ResNet-1001 (CIFAR-10, pre-activation)", "B") in names
    assert ("pre-activation ResNet-110 (CIFAR-10, pre-activation)", "A") in names
    assert ("bottleneck ResNet-164 (CIFAR-10, bottlenecks)", "B") in names
    assert [shortcut for name, shortcut in names if name == "ResNet-34 (ImageNet)"] == ["A", "B", "C"]
    assert len(names) == len(set(names)) == 29
