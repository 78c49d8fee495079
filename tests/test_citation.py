"""How the suite is cited: CITATION.cff and .zenodo.json are complete, and say what pyproject.toml says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

import bench
from bench.report.authorship import SUITE

ROOT = Path(__file__).resolve().parents[1]
CFF: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
ZENODO: dict[str, Any] = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_file_has_what_its_schema_requires() -> None:
    """The required keys of the Citation File Format 1.2.0, and those of a reference; types where they are closed."""
    assert {"authors", "cff-version", "message", "title"} <= set(CFF)
    assert (CFF["cff-version"], CFF["type"]) == ("1.2.0", "software")
    assert isinstance(CFF["version"], str)
    for reference in CFF["references"]:
        assert {"authors", "title", "type"} <= set(reference)
        assert all({"family-names", "given-names"} <= set(author) for author in reference["authors"])
        assert all(one["type"] in ("doi", "url", "swh", "other") for one in reference["identifiers"])


def test_zenodo_gets_what_it_asks_for() -> None:
    assert {"title", "description", "creators", "license", "keywords", "upload_type"} <= set(ZENODO)
    assert ZENODO["upload_type"] == "software"
    assert ZENODO["related_identifiers"][0]["identifier"] == CFF["references"][0]["identifiers"][0]["value"]


def test_all_three_say_the_same() -> None:
    assert ZENODO["title"] == CFF["title"]
    assert CFF["title"].startswith(f"{PROJECT['name']}: ")
    assert ZENODO["description"] == CFF["abstract"] == PROJECT["description"]
    assert ZENODO["license"] == CFF["license"] == PROJECT["license"]
    assert ZENODO["keywords"] == CFF["keywords"] == PROJECT["keywords"]
    assert ZENODO["version"] == CFF["version"] == bench.__version__
    assert ZENODO["creators"] == CFF["authors"] == [{"name": SUITE.author}]
