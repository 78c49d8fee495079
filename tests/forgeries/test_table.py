"""Every forgery is in the table, the table is the one that is published, and most forgeries are caught."""

from __future__ import annotations

from tests.forgeries.all import ALL
from tests.forgeries.base import PROJECT
from tests.forgeries.table import caught, is_caught, sentences, table

ENOUGH, CONSISTENT, TO_CATCH = 66, 44, 0.85


def test_every_forgery_has_its_words_and_its_row() -> None:
    rows = [(row["class"], row["forgery"], row["consistent"] == "yes") for row in caught()]

    assert rows == [(forgery.kind, forgery.name, forgery.consistent) for forgery in ALL]
    assert [forgery.name for forgery in ALL if not (forgery.forge.__doc__ or "").strip()] == []


def test_enough_are_forged_and_caught() -> None:
    rows = caught()
    consistent = [row for row in rows if row["consistent"] == "yes"]

    assert len({row["forgery"] for row in rows}) == len(rows) >= ENOUGH
    assert len(consistent) >= CONSISTENT
    assert sum(map(is_caught, consistent)) >= TO_CATCH * len(consistent)


def test_the_published_table_is_that_of_these_forgeries() -> None:
    page = (PROJECT / "bench/README.md").read_text(encoding="utf-8")

    assert table(caught()) in page
    assert [words for words in sentences(caught()) if words not in " ".join(page.split())] == []
    assert [row["forgery"] for row in caught() if not is_caught(row) and f"`{row['forgery']}`" not in page] == []
