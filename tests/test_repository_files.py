"""The files that other programs read: GitHub and Meltano get what their schemas ask for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"

FILES = [
    ("github-workflows", sorted(GITHUB.glob("workflows/*.yml"))),
    ("github-issue-forms", sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml"))),
    ("dependabot", [GITHUB / "dependabot.yml"]),
    ("meltano", [ROOT / "meltano.yml"]),
]


@pytest.mark.parametrize(("schema", "files"), FILES, ids=[schema for schema, _ in FILES])
def test_files_fit_the_schema_of_the_program_that_reads_them(
    schema: str, files: list[Path]
) -> None:
    assert files
    check("--builtin-schema", f"vendor.{schema}", *files)


def test_no_workflow_can_hang_for_hours() -> None:
    workflows = sorted(GITHUB.glob("workflows/*.yml"))
    check("--builtin-schema", "custom.github-workflows-require-timeout", *workflows)


def test_actions_are_pinned_by_their_hash_with_the_version_beside() -> None:
    workflows = "".join(path.read_text("utf-8") for path in GITHUB.glob("workflows/*.yml"))
    used = re.findall(r"uses: (?!\./)(\S+?)@(.+)$", workflows, re.MULTILINE)
    assert used
    for action, version in used:
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version), f"{action}@{version}"
    assert len(set(used)) == len(dict(used)), "an action is used in two versions"


def check(*arguments: str | Path) -> None:
    """Check files with check-jsonschema, which brings these schemas along."""
    result = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
