"""The paper's numbers as data: complete, unambiguous, and in agreement with the paper's own arithmetic."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from typing import Any

import pytest
import yaml

from bench.paper import paper_error, paper_number, paper_numbers, paper_value

PAPER: dict[str, Any] = yaml.safe_load(files("bench").joinpath("paper.yaml").read_text(encoding="utf-8"))
NUMBERS = paper_numbers()
REQUIRED = {"id", "table", "row", "column", "value", "unit", "statistic", "protocol", "whose"}
OPTIONAL = {
    "net", "relation", "mean", "std", "n", "answered_by", "reason", "metric", "layers", "params", "note", "per_class",
}  # fmt: skip
COUNTS = {
    "Table 1": 5, "Table 2": 4, "Table 3": 19, "Table 4": 18, "Table 5": 6, "Table 6": 12, "Table 7": 4, "Table 8": 4,
    "Table 9": 16, "Table 10": 3, "Table 11": 3, "Table 12": 5, "Table 13": 6, "Table 14": 7,
}  # fmt: skip


def test_there_are_140_numbers_and_no_id_twice() -> None:
    assert len(PAPER["numbers"]) == len(NUMBERS) == 140


def test_every_table_has_all_its_numbers_and_the_text_has_28() -> None:
    found = Counter(n["table"] if n["table"].startswith("Table") else "text" for n in NUMBERS.values())

    assert found == COUNTS | {"text": 28}


@pytest.mark.parametrize("number", PAPER["numbers"], ids=lambda n: n["id"])
def test_a_number_has_what_it_takes_to_compare_with_it(number: dict[str, Any]) -> None:
    assert set(number) >= REQUIRED
    assert set(number) - REQUIRED <= OPTIONAL
    assert isinstance(number["value"], int | float)
    assert number["protocol"] in PAPER["protocols"]
    assert number.get("relation", "about") in (">", "<", "about")
    assert ("answered_by" in number) != ("reason" in number)
    assert number.get("reason", "loc") in PAPER["reasons"]


def test_every_protocol_and_reason_is_used() -> None:
    assert {n["protocol"] for n in PAPER["numbers"]} == set(PAPER["protocols"])
    assert {n["reason"] for n in PAPER["numbers"] if "reason" in n} == set(PAPER["reasons"]) == set(PAPER["groups"])


def test_two_numbers_are_settings_and_no_results() -> None:
    assert [name for name, n in NUMBERS.items() if not n["is_result"]] == ["txt.ensemble.models", "txt.warm-up.until"]


def test_a_best_of_several_has_its_mean_beside_it_and_the_mean_is_what_ours_is_compared_with() -> None:
    best = [n for n in NUMBERS.values() if n["statistic"].startswith("best")]

    assert [(n["id"], n["value"], n["mean"], n["std"]) for n in best] == [
        ("t6.highway-19.error", 7.54, 7.72, 0.16),
        ("t6.resnet-110.error", 6.43, 6.61, 0.16),
    ]
    assert paper_value(best[1]) == 6.61
    assert paper_value(NUMBERS["t6.resnet-20.error"]) == 8.75


def test_the_classes_of_voc_average_to_the_printed_map() -> None:
    rows = [n for n in NUMBERS.values() if n["table"] in ("Table 10", "Table 11")]

    assert len(PAPER["voc_classes"]) == 20
    for number in rows:
        assert len(number["per_class"]) == 20
        assert sum(number["per_class"]) / 20 == pytest.approx(number["value"], abs=0.05)


# what the paper prints twice, or derives from its own numbers (points, or percent of the second)
SAME = [
    ("t2.plain-34.top1", "t3.plain-34.top1"), ("t2.resnet-34.top1", "t3.resnet-34-A.top1"),
    ("t1.34-layer.flops", "txt.plain34.flops"), ("t4.resnet-101.top5", "txt.loc.classification"),
    ("t7.resnet-101.voc07", "t10.resnet-101.map"), ("t7.resnet-101.voc12", "t11.resnet-101.map"),
    ("t7.vgg-16.voc07", "t10.vgg-16.map"), ("t7.vgg-16.voc12", "t11.vgg-16.map"),
    ("t8.resnet-101.ap", "t9.resnet-101.val.ap"), ("t8.vgg-16.ap50", "t9.vgg-16.val.ap50"),
    ("t13.ensemble.dense.top5", "t14.ours.val"),
]  # fmt: skip
DIFFERENCES = [
    ("txt.r34_vs_r18", "t2.resnet-18.top1", "t2.resnet-34.top1"),
    ("txt.r34_vs_plain34", "t2.plain-34.top1", "t2.resnet-34.top1"),
    ("txt.coco.gain", "t8.resnet-101.ap", "t8.vgg-16.ap"),
    ("txt.coco.gain50", "t8.resnet-101.ap50", "t8.vgg-16.ap50"),
]


def value(name: str) -> float:
    return float(NUMBERS[name]["value"])


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_the_paper_prints_twice_is_the_same(one: str, other: str) -> None:
    assert value(one) == value(other)


@pytest.mark.parametrize(("difference", "more", "less"), DIFFERENCES)
def test_the_papers_differences_follow_from_its_tables(difference: str, more: str, less: str) -> None:
    assert value(more) - value(less) == pytest.approx(value(difference), abs=0.051)  # 2.85 is printed as 2.8


def test_the_papers_relative_gains_follow_from_its_tables() -> None:
    assert 100 * value("txt.coco.gain") / value("t8.vgg-16.ap") == pytest.approx(value("txt.coco.relative-gain"), abs=1)
    less = 100 * (1 - value("t14.ours.test") / value("t14.vgg.test"))
    assert less == pytest.approx(value("txt.loc.relative-reduction"), abs=1)


def test_table_6_is_found_by_the_name_of_the_net() -> None:
    assert [paper_error(f"resnet-{d}-A")["value"] for d in (20, 32, 44, 56, 110, 1202)] == [  # type: ignore[index]
        8.75, 7.51, 7.17, 6.97, 6.43, 7.93,
    ]  # fmt: skip
    assert paper_error("plain-20") is None


def test_the_ap_of_tables_8_and_9_is_that_of_coco_alone() -> None:
    net = "resnet-101-B-torchvision.IMAGENET1K_V1"

    found = {data: paper_number(net, "ap50", data) for data in ("coco14", "voc07")}

    assert [number and number["value"] for number in found.values()] == [48.4, None]
    assert (paper_number(net, "voc07_map", "voc07") or {})["value"] == 76.4
