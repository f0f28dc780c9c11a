"""The README and the page on increments are true: their tables are current, their blocks run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tap_zoom_cc import state
from tap_zoom_cc.configuration import settings_from
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS, KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    page: page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "docs" / "increments.md")
}
NOW = datetime(2026, 2, 1, tzinfo=timezone.utc)

NEEDS_ZOOM = "needs a Zoom account"
CHECKED_HERE = "checked by tests/test_readme.py"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the comment before it that says how it is tested."""

    marker: str
    language: str
    text: str


def blocks() -> list[Block]:
    pattern = re.compile(r"(?:<!-- ([^\n]*) -->\n)?```(\w+)\n(.*?)\n```", re.DOTALL)
    found = [parts for text in PAGES.values() for parts in pattern.findall(text)]
    return [Block(*parts) for parts in found if parts[1] != "mermaid"]


def checked_here() -> list[Mapping[str, object]]:
    return [
        cast("Mapping[str, object]", json.loads(block.text))
        for block in blocks()
        if block.marker == CHECKED_HERE
    ]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.text[:40])
def test_every_block_is_tested_or_says_that_it_needs_zoom(block: Block) -> None:
    elsewhere = ("an excerpt of", "compared by tests/test_log.py: ")
    if block.marker in {NEEDS_ZOOM, CHECKED_HERE} or block.marker.startswith(elsewhere):
        return
    how, _, name = block.marker.partition(" ")
    file = ROOT / name.removeprefix("by ").removeprefix("as ")
    assert how in {"run", "same"}, f"no word on how this is tested: {block.text}"
    assert file.is_file(), f"there is no {file}"
    text = file.read_text(encoding="utf-8")
    if how == "same":
        assert block.text.strip() == text.strip()
    else:
        for word in re.findall(r"[\w./-]+\.(?:py|yaml)|--[\w-]+", block.text):
            assert word in text, f"{file.name} does not run {word}"


def test_the_configurations_shown_are_valid() -> None:
    credentials = {"account_id": "ab", "client_id": "c", "client_secret": "d"}
    configurations = [value for value in checked_here() if "bookmarks" not in value]
    assert configurations
    for configuration in configurations:
        settings_from({**credentials, **_single_words(configuration)}, now=NOW)


def _single_words(configuration: Mapping[str, object]) -> dict[str, object]:
    """Put a credential in place of the words that stand for one."""
    return {
        name: "secret" if value == "from the app's page" else value
        for name, value in configuration.items()
    }


def test_the_state_shown_is_one_that_the_tap_takes() -> None:
    states = [value for value in checked_here() if "bookmarks" in value]
    assert states
    for value in states:
        wrong = state.problems(
            value,
            partitioned=[stream.name for stream in ENGAGEMENT_STREAMS],
            streams=KEYS,
            now=NOW,
        )
        assert wrong == []


@pytest.mark.parametrize("script", ["dev/error_table.py", "dev/settings.py"])
def test_the_generated_tables_are_current(script: str) -> None:
    result = subprocess.run(
        [sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_links_lead_to_files_that_exist() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text):
            assert (page.parent / target).exists(), target
    everything = "".join(PAGES.values())
    named = re.findall(r"`(?:tests/)?((?:\w+/)?test_\w+\.py)`", everything)
    assert "test_properties.py" in named, "no file of tests was found"
    for target in named:
        assert (ROOT / "tests" / target).is_file(), target
