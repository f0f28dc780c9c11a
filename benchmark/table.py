"""The results: rows of a Markdown table, and the machine that they were measured on."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    ``value`` is compared with ``target`` (at most; None where there is nothing to hold) and is
    written with ``digits`` decimals and ``unit``; ``detail`` stands behind it.
    """

    what: str
    value: float
    target: float | None = None
    digits: int = 2
    unit: str = ""
    detail: str = ""

    @property
    def verdict(self) -> str:
        """Whether the number holds its target; empty without one."""
        if self.target is None:
            return ""
        return "met" if round(self.value, self.digits) <= self.target else "missed"

    def markdown(self) -> str:
        """Return the row as Markdown."""
        measured = f"{self.value:,.{self.digits}f}{self.unit}"
        target = "" if self.target is None else f"≤ {self.target:,.{self.digits}f}{self.unit}"
        detail = f" ({self.detail})" if self.detail else ""
        return f"| {self.what} | {measured}{detail} | {target} | {self.verdict} |"


def heading() -> str:
    """Return the table's first lines."""
    return "| what | measured | target | |\n|---|---|---|---|"


def table(rows: Iterable[Row]) -> str:
    """Return the whole table as Markdown."""
    return "\n".join([heading(), *(row.markdown() for row in rows)])


def machine() -> str:
    """Say on what the numbers were measured."""
    return (
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine() or sys.platform
