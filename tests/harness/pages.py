"""The pages that people read, their fenced blocks, and what says how each block is tested."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    ROOT / "benchmark" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

AS_WRITTEN = "run as written by "
_FENCED = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the comment before it that says how it is tested."""

    page: Path
    marker: str
    language: str
    text: str

    @property
    def name(self) -> str:
        """The page and the first words, as the name of a test's case."""
        return f"{self.page.name}: {self.text[:40]}"


def text_of(page: Path) -> str:
    """Return what is in a page."""
    return page.read_text(encoding="utf-8")


def without_blocks(page: Path) -> str:
    """Return what is in a page beside its blocks."""
    return _FENCED.sub("", text_of(page))


def blocks() -> list[Block]:
    """Return the blocks of all pages; diagrams are none."""
    return [
        Block(page, *parts)
        for page in PAGES
        for parts in _FENCED.findall(text_of(page))
        if parts[1] != "mermaid"
    ]


def block(name: str) -> Block:
    """Return the one block that a comment gives a name; a log that is compared is none."""
    (found,) = (
        each
        for each in blocks()
        if re.fullmatch(rf".* by [\w/.]+: {name}", each.marker)
        and not each.marker.startswith("compared by ")
    )
    return found


def run_block(
    name: str, folder: Path, environment: Mapping[str, str], **words: str
) -> subprocess.CompletedProcess[str]:
    """Run a block of a page as it is written, in a folder, with these variables and no others.

    The first command that fails ends it. A word that stands in the page for something that only the
    reader knows is given with what is meant, as "word=meant", by any name.
    """
    text = block(name).text
    for pair in words.values():
        word, _, meant = pair.partition("=")
        assert word in text, f"{name} has no {word}"
        text = text.replace(word, meant)
    return subprocess.run(
        ["bash", "-e", "-c", text],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
