"""Writes the table of errors in docs/errors.md from the tap's own rules.

Run it after a rule has changed: `python dev/error_table.py`.

With `--check` nothing is written, and the exit code is 1 when the table is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tap_zoom_cc.zoom.rules import NO_ANSWER, PATIENCE_SECONDS, RULES, Action

if TYPE_CHECKING:
    from tap_zoom_cc.zoom.rules import Rule

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
COLUMNS = (
    *("HTTP status", "Zoom code", "message", "only if"),
    *("what it means", "what the tap does", "what to do", "source"),
)
BEGIN, END = "<!-- errors -->", "<!-- /errors -->"


def table() -> str:
    """Return the rules as a Markdown table, in the order in which they are tried."""
    rows = [
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows += [_row(rule) for rule in RULES]
    return "\n".join(rows)


def _row(rule: Rule) -> str:
    statuses = _statuses(rule)
    codes = ", ".join(map(str, rule.codes)) or "any"
    pattern = f"`{rule.pattern}`".replace("|", "\\|") if rule.pattern else "any"
    if rule.statuses == (NO_ANSWER,):
        statuses, codes, pattern = "none", "-", "-"
    condition = rule.condition.value if rule.condition else "-"
    return (
        f"| {statuses} | {codes} | {pattern} | {condition} | {rule.meaning} | {_done(rule)} "
        f"| {rule.advice} | {rule.source} |"
    )


def _done(rule: Rule) -> str:
    """Return what the tap does, and what follows when that does not help."""
    done = rule.action.value
    if rule.then is not None:
        end = f"after {rule.tries} tries" if rule.tries else f"after {PATIENCE_SECONDS:.0f} seconds"
        done = f"{done}; {end} {rule.then.value}"
    if rule.shared is not None:
        done = f"{done}; instead {Action.STOP_RUN.value} if {rule.shared.value}"
    return done


def _statuses(rule: Rule) -> str:
    """Return the statuses, a long run of them as a range."""
    server_faults = tuple(range(500, 600))
    few = [str(status) for status in rule.statuses if status not in server_faults]
    if set(server_faults) <= set(rule.statuses):
        few.append("5xx")
    return ", ".join(few) or "any"


def main(arguments: list[str]) -> int:
    """Write or check the table; returns the exit code."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    current = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" in arguments:
        if current != text:
            print(
                "docs/errors.md: the table of errors is not current; run python dev/error_table.py"
            )
            return 1
        return 0
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
