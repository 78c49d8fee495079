"""What the JSON files of a run may hold: a file with another value is damaged, as one that is cut off is.

The standard library and bench.spec only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.spec import OPTIONS, PRECISIONS_OF_BOXES, PROTOCOLS, VERIFICATION
from bench.store.files import StoreError, read_json

NUMBERS = (  # of a result, where a run has them
    *("test_loss", "train_error", "train_loss", "val_error", "best_test_error", "test_images_per_s", "source_error"),
    *(*PROTOCOLS, *VERIFICATION, *PRECISIONS_OF_BOXES),
    *(f"{option}_{name}" for option in OPTIONS for name in PRECISIONS_OF_BOXES),
)
Check = Callable[[Any], bool]
LAST_SECOND = 253_402_300_799  # of the year 9999, the last that a date can have


def is_text(value: Any) -> bool:
    """A text that can be written as UTF-8."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def is_number(value: Any) -> bool:
    """A finite number."""
    with suppress(OverflowError):  # a whole number beyond every float
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return False


def is_count(value: Any) -> bool:
    """A whole number from 0 on, as far as an int64 goes."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_counts(value: Any) -> bool:
    """A whole number, or several that differ between the starts of a run: "1; 2"."""
    return is_count(value) or (isinstance(value, str) and re.fullmatch(r"\d{1,9}(; \d{1,9})*", value) is not None)


def is_time(value: Any) -> bool:
    """Seconds since 1970."""
    return is_number(value) and 0 <= value <= LAST_SECOND


def is_flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def is_hex(value: Any) -> bool:
    """Bytes in hexadecimal digits."""
    return isinstance(value, str) and set(value) <= set("0123456789abcdef") and len(value) % 2 == 0


def list_of(check: Check) -> Check:
    """A list of such values."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def or_none(check: Check) -> Check:
    """Such a value, or null."""
    return lambda value: value is None or check(value)


def is_plain(value: Any) -> bool:
    """What a cell of a table can show: a number, a text, a flag or nothing."""
    return value is None or is_flag(value) or is_number(value) or is_text(value)


def is_anything(_: Any) -> bool:
    """Whatever JSON can say."""
    return True


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file's JSON object must have, what it may have, and what all its other values are."""

    needed: Mapping[str, Check]
    maybe: Mapping[str, Check] = field(default_factory=dict)
    others: Check = is_anything

    def fits(self, value: Any) -> bool:
        """Whether it is such an object."""
        checks = {**self.maybe, **self.needed}
        there = isinstance(value, dict) and self.needed.keys() <= value.keys()
        return there and all(checks.get(name, self.others)(each) for name, each in value.items())


class ResultSchema(Schema):
    """That of result.json, in which each image's correctness is a bit."""

    def fits(self, value: Any) -> bool:
        """Whether it is a result, with a bit for each image."""
        if not Schema.fits(self, value):
            return False
        digits = 2 * -(-value["test_images"] // 8)
        return all(
            len(bits) == digits for bits in (value.get("correct"), *value.get("correct_by", {}).values()) if bits
        )


RESULT = ResultSchema(
    {
        **dict.fromkeys(("id", "weights_sha256", "curve_sha256"), is_text),
        **dict.fromkeys(("test_error", "images_per_s", "seconds"), is_number),
        "step": is_count,
        "test_images": lambda value: is_count(value) and value > 0,
    },
    {
        **dict.fromkeys(NUMBERS, or_none(is_number)),
        **dict.fromkeys(("best_step", "people", "params", "source_differs"), or_none(is_count)),
        **dict.fromkeys(("layers_sha256", "matches_sha256", "found_sha256", "classes", "pictures"), or_none(is_text)),
        "correct": is_hex,
        "correct_by": lambda value: isinstance(value, dict) and all(map(is_hex, value.values())),
        "pair_scores": list_of(is_number),
        "pair_same": list_of(is_count),
        "pair_fold": list_of(is_count),
    },
)
PART = Schema({"images": lambda value: is_count(value) and value > 0, "error": is_number, "correct": is_hex})


def is_parts(value: Any) -> bool:
    """What a test kept of each of its parts: a bit for each image."""
    parts = value.values() if isinstance(value, dict) else ()
    return bool(parts) and all(PART.fits(one) and len(one["correct"]) == 2 * -(-one["images"] // 8) for one in parts)


TEST = Schema(
    {
        **dict.fromkeys(("id", "test", "test_sha256", "weights_sha256", "hardware"), is_text),
        "parts": is_parts,
        "tested": is_time,
    },
    others=is_plain,
)
ENV = Schema(
    {"hardware": is_text, "started": is_time, "ended": is_time},
    {
        **dict.fromkeys(("data_sha256", "start_sha256", "claims_sha256", "notice"), or_none(is_text)),
        **dict.fromkeys(("threads", "processes", "share", "sessions"), or_none(is_counts)),
        "dirty": or_none(is_flag),
        "requirements": list_of(is_text),
    },
    others=is_plain,
)
ERROR = Schema({"message": is_text, "retry": is_flag})
INPUTS = Schema({"data_sha256": is_text, "start_sha256": or_none(is_text)})
DECLARED = Schema({"claims_sha256": is_text})
PREDICTED = Schema({"seconds": is_number})
HEARTBEAT = Schema(
    {"step": is_count, "time": is_number, "host": is_text},
    {
        **dict.fromkeys(
            ("steps", "steps_per_s", "test_s", "loss", "error", "test_error", "test_images_per_s"), is_number
        ),
        **dict.fromkeys(("tested", "to_test"), is_count),
        "test": is_text,
    },
)
RENDEZVOUS = Schema({"host": is_text, "port": is_count, "token": is_text, "over": is_flag})


def record(path: Path, schema: Schema) -> dict[str, Any] | None:
    """The JSON object in `path`; None where there is none, or where it does not fit the schema."""
    try:
        value: Any = read_json(path)
    except StoreError:
        return None
    return value if schema.fits(value) else None


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with a JSON object a line, up to the first line that is none, such as one that is cut off."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    with suppress(ValueError, RecursionError):  # ten times faster than line by line
        rows = json.loads(f"[{','.join(filter(None, lines))}]")
        if all(map(_is_row, rows)):
            return list(rows)
    rows = []
    for line in filter(None, lines):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not _is_row(row):
            break
        rows.append(row)
    return rows


def _is_row(row: Any) -> bool:
    """Numbers and texts at a step; of a run that diverged also infinite ones, and ones that are none."""
    plain = isinstance(row, dict) and is_count(row.get("step"))
    return plain and all(isinstance(v, int | float) or v is None or is_text(v) for v in row.values())
