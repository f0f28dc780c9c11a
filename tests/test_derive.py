"""The script that derives the schemas shows what has changed, and refuses what it does not know.

It is run as people run it, on documents that say what the facts say.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from schemas.derive import CORRECTIONS, SMS
from tests.test_schemas import FACTS, ROOT, answer_of, fields_of, shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.test_schemas import Node


def documents_of_facts() -> dict[str, Node]:
    """Give documents that say what the facts say, in the text alone where Zoom's do so."""
    documents: dict[str, Node] = {}
    paths = json.loads(FACTS.read_text(encoding="utf-8"))["paths"]
    for correction in CORRECTIONS:
        operation = paths[correction.endpoint]["get"]
        fields = dict(fields_of(operation))
        text_of = fields | {f"?{one['name']}": one for one in operation["parameters"]}
        holder = text_of if correction.keyword == "explode" else fields
        for path in correction.paths:
            assert holder[path].pop(correction.keyword) == correction.value
            said = text_of[path.removesuffix("[]")]
            said["description"] = f"{said.get('description', '')} {correction.evidence}"
    for endpoint, entry in paths.items():
        info = entry.pop("x-document")
        empty: Node = {"openapi": "3.0.0", "info": info, "paths": {}}
        documents.setdefault(f"{info['title']}.json", empty)["paths"][endpoint] = entry
    return documents


def derive(
    *arguments: str | Path, script: Path = ROOT / "schemas" / "derive.py"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


class Workbench:
    """A copy of `schemas/`, and documents that a test changes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "schemas"
        shutil.copytree(ROOT / "schemas", self.directory)
        self.documents = documents_of_facts()

    def derive(self, *arguments: str, day: str = "2030-01-01") -> subprocess.CompletedProcess[str]:
        """Save the documents as copies made on that day, and run the script on them."""
        noon = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
        paths = [self.directory.parent / name for name in self.documents]
        for path, document in zip(paths, self.documents.values(), strict=True):
            path.write_text(json.dumps(document), encoding="utf-8")
            os.utime(path, (noon, noon))
        return derive(*paths, *arguments, script=self.directory / "derive.py")

    def written(self) -> dict[str, bytes]:
        """Give the bytes of all files there."""
        return {path.name: path.read_bytes() for path in self.directory.glob("*.json")}

    def schema(self, name: str) -> Node:
        """Give a schema as it is there."""
        content: Node = json.loads((self.directory / f"{name}.json").read_text(encoding="utf-8"))
        return content

    @property
    def sms(self) -> Node:
        """What the document says of reading sms."""
        (document,) = (one for one in self.documents.values() if SMS in one["paths"])
        operation: Node = document["paths"][SMS]["get"]
        return operation

    @property
    def row(self) -> Node:
        """The fields of a row of sms."""
        fields: Node = answer_of(self.sms)["properties"]["sms"]["items"]["properties"]
        return fields

    @property
    def codes(self) -> Node:
        """The parameter of sms that is corrected."""
        found = (one for one in self.sms["parameters"] if one["name"] == "country_iso_codes")
        parameter: Node = next(found)
        return parameter


@pytest.fixture
def workbench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def test_shipped_schemas_are_what_the_facts_say() -> None:
    result = derive("--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


def test_what_zoom_says_in_the_text_alone_becomes_a_fact_and_other_prose_does_not(
    workbench: Workbench,
) -> None:
    workbench.sms.update(summary="Prose.", description="Prose.", tags=["Prose"])
    workbench.codes["example"] = ["Prose"]
    for _, node in list(fields_of(workbench.sms)):
        node.update(title="Prose", example="Prose")
    result = workbench.derive("--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


CHANGES: dict[str, tuple[Callable[[Workbench], object], str]] = {
    "another type": (lambda at: at.row["direction"].update(type="integer"), '+        "integer",'),
    "a field gone": (lambda at: at.row.pop("direction"), '-    "direction": {'),
    "a new field": (lambda at: at.row.update(mood={"type": "string"}), '+    "mood": {'),
    "a new value": (lambda at: at.row["direction"]["enum"].append("sideways"), '"sideways"'),
    "a new filter": (
        lambda at: at.sms["parameters"].append(
            {"name": "mood", "in": "query", "schema": {"type": "string", "enum": ["good"]}}
        ),
        '+    "mood": {',
    ),
}


@pytest.mark.parametrize(("change", "shown"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_shown_by_the_check_and_written_without_it(
    workbench: Workbench, change: Callable[[Workbench], object], shown: str
) -> None:
    before = workbench.written()
    change(workbench)
    result = workbench.derive("--check")
    assert result.returncode == 1
    assert any(line.strip(",").endswith(shown.strip(",")) for line in result.stdout.splitlines())
    assert "run without --check" in result.stderr
    assert workbench.written() == before
    assert workbench.derive().returncode == 0
    after = workbench.schema("sms")["properties"]
    assert list(after) == ["account_id", *workbench.row, "unmapped_values"]
    kept = {name: node for name, node in shipped("sms")["properties"].items() if name in after}
    assert all(after[name]["description"] == node["description"] for name, node in kept.items())
    assert workbench.derive("--check").returncode == 0
    assert workbench.schema(FACTS.stem.removesuffix(".json"))["info"]["version"] == "2030-01-01"
    assert workbench.derive("--check", day="2031-01-01").returncode == 0, "only a newer copy"


def test_without_a_document_the_facts_are_what_schemas_are_derived_from(
    workbench: Workbench,
) -> None:
    (workbench.directory / "sms.json").unlink()
    script = workbench.directory / "derive.py"
    assert derive("--check", script=script).returncode == 1
    assert derive(script=script).returncode == 0
    assert workbench.schema("sms").keys() == shipped("sms").keys() - {"description"}


MISFITS: dict[str, tuple[Callable[[Workbench], object], str]] = {
    "field gone": (
        lambda at: at.sms["parameters"].remove(at.codes),
        "?country_iso_codes[] is gone",
    ),
    "said itself": (lambda at: at.codes["schema"]["items"].update(pattern="^A"), "has pattern"),
    "no evidence": (lambda at: at.codes.update(description="Codes."), "no longer has 'Two-letter"),
    "comma": (
        lambda at: at.codes.update(description="Two-letter ISO, comma-separated."),
        "country_iso_codes is comma-separated by its text alone",
    ),
    "limit": (
        lambda at: at.codes.update(description="Two-letter ISO, up to 7."),
        "country_iso_codes takes up to 7 by its text alone",
    ),
    "alternatives": (
        lambda at: at.row.update(direction={"oneOf": []}),
        "direction: oneOf cannot be derived from",
    ),
    "style": (lambda at: at.codes.update(style="pipeDelimited"), "style cannot be derived from"),
    "no type": (lambda at: at.row["direction"].pop("type"), "is no OpenAPI document of the kind"),
    "no endpoint": (
        lambda at: [one["paths"].pop("/accounts", 0) for one in at.documents.values()],
        "GET /accounts: in no document",
    ),
}


@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_an_error_and_nothing_is_written(
    workbench: Workbench, change: Callable[[Workbench], object], message: str
) -> None:
    before = workbench.written()
    change(workbench)
    result = workbench.derive()
    assert result.returncode == 1
    assert message in result.stderr
    assert all(line.startswith("error: ") for line in result.stderr.splitlines())
    assert workbench.written() == before


@pytest.mark.parametrize("content", [None, "openapi: 3.0.0", "3"])
def test_a_file_that_is_no_document_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "document"
    if content is not None:
        path.write_text(content)
    result = derive("--check", path)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {path}: cannot be read as a JSON object")
