"""The script that derives the schemas shows what has changed, and refuses what it does not know.

CI runs it on Zoom's documents as they are. Here it is given documents that say what the facts say,
and then something else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from schemas.derive import CORRECTIONS, SMS, DocumentError, derive
from tests.test_schemas import FACTS, ROOT, answer_of, fields_of, shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.test_schemas import Node

COPIED = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)


class Documents:
    """Documents that say what the facts say, in the text alone where Zoom's do so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.paths: Node = json.loads(FACTS.read_text(encoding="utf-8"))["paths"]
        for correction in CORRECTIONS:
            operation = self.paths[correction.endpoint]["get"]
            fields = dict(fields_of(operation))
            text_of = fields | {f"?{one['name']}": one for one in operation["parameters"]}
            holder = text_of if correction.keyword == "explode" else fields
            for path in correction.paths:
                assert holder[path].pop(correction.keyword) == correction.value
                said = text_of[path.removesuffix("[]")]
                said["description"] = f"{said.get('description', '')} {correction.evidence}"
        self.sms: Node = self.paths[SMS]["get"]
        self.row: Node = answer_of(self.sms)["properties"]["sms"]["items"]["properties"]
        (self.codes,) = (one for one in self.sms["parameters"] if "country" in one["name"])

    def saved(self, day: datetime = COPIED) -> list[Path]:
        """Save a document for each endpoint, as copies made on that day."""
        saved = []
        for number, (endpoint, entry) in enumerate(self.paths.items()):
            content = {"info": entry["x-document"], "paths": {endpoint: {"get": entry["get"]}}}
            path = self._folder / f"{number}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            os.utime(path, (day.timestamp(), day.timestamp()))
            saved.append(path)
        return saved

    def derived(self, name: str) -> Node:
        """Return what is derived from them."""
        return derive(self.saved())[ROOT / "schemas" / f"{name}.json"]


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(tmp_path)


def test_what_zoom_says_in_the_text_alone_becomes_a_fact_and_other_prose_does_not(
    documents: Documents,
) -> None:
    documents.sms.update(summary="Prose.", description="Prose.", tags=["Prose"])
    documents.codes["example"] = ["Prose"]
    for _, node in list(fields_of(documents.sms)):
        node.update(title="Prose", example="Prose")
    for path, content in derive(documents.saved()).items():
        assert json.dumps(content) == json.dumps(json.loads(path.read_text("utf-8"))), path


def test_what_a_document_says_anew_is_in_facts_and_schemas(documents: Documents) -> None:
    documents.row.pop("direction")
    documents.row["mood"] = {"type": "string"}
    documents.row["country_name"]["format"] = "country"
    documents.row["consumer_number"]["type"] = "integer"
    good = {"name": "mood", "in": "query", "schema": {"type": "string", "enum": ["good"]}}
    documents.sms["parameters"].append(good)

    fields = documents.derived("sms")["properties"]
    assert list(fields) == ["account_id", *documents.row, "unmapped_values"]
    assert fields["mood"] == {"type": ["string", "null"]}
    assert fields["country_name"]["format"] == "country"
    assert fields["consumer_number"]["type"] == ["integer", "null"]
    kept = shipped("sms")["properties"]
    assert all(
        fields[name]["description"] == kept[name]["description"] for name in fields & kept.keys()
    )
    filters = documents.derived("sms_filters")["properties"]
    assert filters["mood"] == {"type": "string", "enum": ["good"]}
    assert documents.derived("zoom_facts.openapi")["info"]["version"] == "2030-01-01"


MISFITS: dict[str, tuple[Callable[[Documents], object], str]] = {
    "field gone": (lambda at: at.sms["parameters"].remove(at.codes), "_codes[] is gone"),
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
    "alternatives": (lambda at: at.row.update(direction={"oneOf": []}), "direction: oneOf cannot"),
    "style": (lambda at: at.codes.update(style="pipeDelimited"), "style cannot be derived from"),
    "no type": (lambda at: at.row["direction"].pop("type"), "is no OpenAPI document of the kind"),
    "no endpoint": (lambda at: at.paths.pop("/accounts"), "GET /accounts: in no document"),
}


@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_an_error(
    documents: Documents, change: Callable[[Documents], object], message: str
) -> None:
    change(documents)
    with pytest.raises(DocumentError) as refused:
        derive(documents.saved())
    assert message in str(refused.value)


def test_the_check_shows_a_difference_and_writes_nothing(
    documents: Documents, tmp_path: Path
) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, folder / "derive.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def written() -> dict[str, str]:
        return {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}

    before = written()
    documents.row["mood"] = {"type": "string"}
    check = run("--check", *documents.saved())
    assert check.returncode == 1
    assert '+    "mood": {' in check.stdout
    assert "run without --check" in check.stderr
    assert written() == before
    assert run(*documents.saved()).returncode == 0
    assert '"mood"' in written()["sms.json"]
    a_year_later = documents.saved(COPIED.replace(year=2031))
    assert run("--check", *a_year_later).returncode == 0, "only a newer copy"
    (folder / "sms.json").unlink()
    assert run("--check").returncode == 1
    documents.row["mood"] = {"oneOf": []}
    refused = run(*documents.saved())
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "sms.json" not in written()


@pytest.mark.parametrize("content", [None, "openapi: 3.0.0", "3"])
def test_a_file_that_is_no_document_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "document"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DocumentError, match="cannot be read as a JSON object"):
        derive([path])
