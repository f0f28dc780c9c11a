"""The pages are true: tables are current, links lead somewhere, each block says how it is tested.

The README leads to all of them. That commands run as they are written is in test_commands.py.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tap_zoom_cc.input_schemas import state_mistakes
from tap_zoom_cc.inputs import settings_from
from tests.checkout import ROOT, run_program
from tests.harness.pages import AS_WRITTEN, PAGES, block, blocks, text_of, without_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.pages import Block

NOT_RUN = {
    "a formula",
    "asks the package index",
    "needs a Zoom account",
    "needs podman",
    "needs Zoom's OpenAPI documents",
    "takes twenty minutes",
}
"""What is said of a block that no test can run."""


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)
def test_every_block_is_tested_or_says_why_it_is_not(block: Block) -> None:
    if block.marker in NOT_RUN or block.marker.startswith("an excerpt of "):
        return
    said = re.fullmatch(
        rf"(?P<how>{AS_WRITTEN}|run by |same as |checked by |compared by )"
        r"(?P<file>[\w./]+)(?:: (?P<name>.+))?",
        block.marker,
    )
    assert said, f"no word on how this is tested: {block.text}"
    file = ROOT / said["file"]
    assert file.is_file(), f"there is no {file}"
    text = text_of(file)
    if said["how"] == "same as ":
        assert block.text.strip() == text.strip()
    elif said["name"]:
        found = re.search(rf"[\"']{said['name']}[\"']|def {said['name']}\(", text)
        assert found, f"{file.name} knows of no {said['name']}"
    else:
        assert said["how"] != AS_WRITTEN, "name the block, so that its test can find it"
        for word in re.findall(r"[\w./-]+\.(?:py|yaml)|--[\w-]+", block.text):
            assert word in text, f"{file.name} does not run {word}"


def test_the_configurations_and_the_state_shown_are_valid() -> None:
    shown = [
        json.loads(block.text)
        for block in blocks()
        if block.marker.endswith(" tests/test_readme.py")
    ]
    states = [value for value in shown if "bookmarks" in value]
    assert 0 < len(states) < len(shown)
    now = datetime(2026, 2, 1, tzinfo=timezone.utc)
    credentials = {"account_id": "ab", "client_id": "c", "client_secret": "d"}
    for value in shown:
        if value in states:
            assert state_mistakes(value, now=now) == []
        else:
            # Words stand for what only the reader has.
            own = {name for name in value if value[name] == "from the app's page"}
            settings_from({**credentials, **value, **dict.fromkeys(own, "secret")}, now=now)


def closed(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a schema that refuses what it does not declare."""
    return {**part, "additionalProperties": False} if "properties" in part else part


@pytest.mark.parametrize("name", ["a row of sms", "a row of voice_calls"])
def test_the_rows_shown_have_columns_of_the_schema_alone(name: str) -> None:
    schema = text_of(ROOT / "schemas" / f"{name.removeprefix('a row of ')}.json")
    validator = Draft202012Validator(json.loads(schema, object_hook=closed))
    row = json.loads(block(name).text)

    assert [error.message for error in validator.iter_errors(row)] == []
    assert row["account_id"]


@pytest.mark.parametrize("script", ["dev/error_table.py", "dev/settings.py"])
def test_the_generated_tables_are_current(script: str) -> None:
    run_program(sys.executable, script, "--check")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Give where a page's links within the repository lead: the file, and the place in it."""
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", without_blocks(page)):
        target, _, place = link.partition("#")
        yield (page.parent / target).resolve() if target else page, place


def anchors(page: Path) -> set[str]:
    """Return the places that a page's headings make, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_what_exists_and_no_block_is_hidden_from_the_tests(page: Path) -> None:
    prose = without_blocks(page)
    assert "```" not in prose, "a fence that is not closed, or is indented"
    assert not re.search(r"\n\n    \S", prose), "a block by indentation, which cannot say its test"
    for target, place in links(page):
        assert target.exists(), target
        assert not place or place in anchors(target), f"{target.name}#{place}"


def test_the_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(?:tests/)?((?:\w+/)?test_\w+)(?:\.py)?`", "".join(map(text_of, PAGES)))
    assert len(named) > 50
    assert [name for name in named if not (ROOT / "tests" / f"{name}.py").is_file()] == []


def test_the_readme_is_short_begins_with_demo_and_tests_and_leads_to_every_page() -> None:
    page = ROOT / "README.md"
    text = text_of(page)
    assert len(text.splitlines()) <= 200
    assert {target for target, _ in links(page)} >= set((ROOT / "docs").glob("*.md"))
    commands = re.findall(r"^```shell\n(.*?)```$", text, re.DOTALL | re.MULTILINE)
    assert commands[:2] == ["python3 dev/demo.py\n", "python3 dev/test.py\n"]


def test_the_errors_in_the_readme_are_among_all_errors() -> None:
    _, _, rest = text_of(ROOT / "README.md").partition("| the line says |")
    shown = re.findall(r"^\| `(.+?)` \|", rest.partition("\n\n")[0], re.MULTILINE)
    assert len(shown) == 5
    for line in shown:
        assert line in text_of(ROOT / "docs" / "errors.md")


def test_the_modules_exist_for_which_contributing_says_what_to_ask_first() -> None:
    table = text_of(ROOT / "CONTRIBUTING.md").partition("| asks first |")[2].partition("\n\n")[0]
    modules = re.findall(r"`([^`]+)`", re.sub(r"\|[^|]*\|$", "", table, flags=re.MULTILINE))
    assert len(modules) > 10
    for name in modules:
        assert (ROOT / "tap_zoom_cc" / name).exists() or (ROOT / name).exists(), name
