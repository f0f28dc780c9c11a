"""Measure and print a table: ``python -m benchmark``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import (
    comparison,
    idle_accounts,
    peak_memory,
    processor_bound,
    rate_bound,
    steady,
    undeclared_field,
)
from benchmark.table import heading, machine, table

if TYPE_CHECKING:
    from benchmark.table import Row

SECTIONS = {
    "rate": rate_bound.measure,
    "processor": processor_bound.measure,
    "fields": undeclared_field.measure,
    "memory": peak_memory.measure,
    "peers": comparison.measure,
    "idle": idle_accounts.measure,
    "steady": steady.measure,
}


def main() -> None:
    """Measure what was asked for; each row is printed as soon as it is known."""
    arguments = _parse_arguments()
    print(f"{machine()}\n")
    print(heading(), flush=True)
    rows: list[Row] = []
    for name in arguments.only:
        for row in SECTIONS[name](quick=arguments.quick):
            print(row.markdown(), flush=True)
            rows.append(row)
    if arguments.write:
        arguments.write.write_text(f"{machine()}\n\n{table(rows)}\n", encoding="utf-8")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=__doc__)
    parser.add_argument(
        "--only",
        type=_sections,
        default=list(SECTIONS),
        metavar=",".join(SECTIONS),
        help="measure only these, in this order",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few rows, to try the benchmark itself"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to a file too")
    return parser.parse_args()


def _sections(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        message = f"there is no {', '.join(unknown)}; choose from {', '.join(SECTIONS)}"
        raise argparse.ArgumentTypeError(message)
    return names


if __name__ == "__main__":
    main()
