"""The paper's numbers (bench/paper.yaml), and other people's for the same nets (bench/reproductions.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def paper_numbers() -> dict[str, dict[str, Any]]:
    """The paper's numbers by id (bench/paper.yaml), protocol and reason spelled out, with the group of the reason.

    `printed` is the value with all the digits that the paper prints: 7.40, where the number is 7.4. `is_result` tells
    results from settings of the paper's recipe, such as the models in an ensemble.
    """
    text = files("bench").joinpath("paper.yaml").read_text(encoding="utf-8")
    # libyaml where PyYAML was built with it, as its wheels are: 0.05 s instead of 0.5
    values, literals = (getattr(yaml, f"C{name}", getattr(yaml, name)) for name in ("SafeLoader", "BaseLoader"))
    paper, as_text = yaml.load(text, values), yaml.load(text, literals)
    words = {"protocol": paper["protocols"], "reason": paper["reasons"]}
    found = {}
    for n, literal in zip(paper["numbers"], as_text["numbers"], strict=True):
        spelled = {key: words[key][n[key]] for key in words if key in n}
        group = {"group": paper["groups"][n["reason"]]} if "reason" in n else {}
        more = {"printed": literal["value"], "is_result": n.get("reason") != "setting"}
        found[n["id"]] = n | _metric(n) | spelled | group | more
    return found


@cache
def reproductions() -> tuple[dict[str, Any], ...]:
    """Other people's test errors on CIFAR-10: name, source, statistic, schedule, and `error` by name of a net."""
    text = files("bench").joinpath("reproductions.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text))


def _metric(number: dict[str, Any]) -> dict[str, str]:
    """The column of the results that an error on ImageNet's validation set is in, by its protocol."""
    of_protocol = {"10-crop": "ten_crop", "multi-scale": "multi_scale"}.get(number["protocol"])
    kind = {"top1": "error", "top5": "top5_error"}.get(number["id"].rsplit(".", 1)[-1])
    return {"metric": f"{of_protocol}_{kind}"} if of_protocol and kind and "net" in number else {}


def paper_number(net: str, metric: str, data: str) -> dict[str, Any] | None:
    """The paper's number for a net's column of the results, of the table that has all of them; None where none has.

    data: that the results are on; the AP of Tables 8 and 9 is COCO's.
    """
    found = [n for n in paper_numbers().values() if (n.get("net"), n.get("metric")) == (net, metric)]
    found = [n for n in found if n["table"] not in ("Table 8", "Table 9") or data.startswith("coco")]
    return found[-1] if found else None


def paper_value(number: dict[str, Any]) -> float:
    """What a mean over seeds is compared with: the paper's mean where it prints one, never its best of several."""
    return float(number.get("mean", number["value"]))


def paper_error(net: str) -> dict[str, Any] | None:
    """The paper's Table 6 number for a net of this name, None where it prints none."""
    return next((n for n in paper_numbers().values() if n.get("net") == net and n["table"] == "Table 6"), None)


def printed(number: Mapping[str, Any]) -> str:
    """As the paper prints it: `> 60 %`, `6.43 (6.61 ± 0.16, n = 5) %`."""
    relation = {"about": "about ", ">": "> ", "<": "< "}.get(number.get("relation", ""), "")
    runs = f", n = {number['n']}" if "n" in number else ""
    mean = f" ({number['mean']:g} ± {number['std']:g}{runs})" if "mean" in number else ""
    return f"{relation}{number['printed']}{mean} {number['unit']}"
