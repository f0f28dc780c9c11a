"""The files that other programs read: GitHub and Meltano get what their schemas ask for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.checkout import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        # None can hang for hours.
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml"))),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.meltano", [ROOT / "meltano.yml"]),
    ],
)
def test_files_fit_the_schema_of_the_program_that_reads_them(
    schema: str, files: list[object]
) -> None:
    assert files
    # It brings these schemas along.
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    result = subprocess.run(
        [*check, *map(str, files)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert result.returncode == 0, result.stdout.decode()


def test_actions_are_pinned_by_their_hash_with_the_version_beside() -> None:
    workflows = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    used = re.findall(r"uses: (?!\./)(\S+?)@(.+)$", workflows, re.MULTILINE)
    assert used
    for action, version in used:
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version), f"{action}@{version}"
    assert len(set(used)) == len(dict(used)), "an action is used in two versions"
