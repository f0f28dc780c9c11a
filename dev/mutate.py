"""Breaks the tap on purpose, one line at a time, and says which breaks no test sees.

`python dev/mutate.py sync/windows.py zoom/ --count 40` makes 40 mutants of them: a comparison
that takes in its border, a statement left out, an argument not given. For each, the tests run that
`ASKED_FIRST` names for the module, and with `--all-tests` the whole test command after them. A
mutant that survives shows a promise without a test, or code without a use.

The mutants are made in a clone of the last commit, under `.tools/`, with an environment of its own:
programs that tests start are broken, too. What the libraries for this do not do, and the reason for
a script of our own: they break what runs in the process of the tests alone, or know no left out
statement and no left out argument.
"""

from __future__ import annotations

import argparse
import ast
import random
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import bootstrap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TypeAlias, TypeGuard

    Node: TypeAlias = ast.expr | ast.stmt | ast.keyword

CLONE = bootstrap.TOOLS / "mutants"
PACKAGE = "tap_zoom_cc"
# Seconds for one test of those that are asked first, each of which takes a few, and for all tests
# together: several times what they need when nothing hangs.
PATIENCE_FOR_ONE = 60
PATIENCE = 600

# The tests that see most of what breaks in a module. The longest name that a module's path begins
# with counts. The first file is asked alone, in one process, and should answer in seconds: most
# mutants are killed by it.
ASKED_FIRST = {
    "": "test_bad_input test_log test_accounts test_report test_stopping",
    "configuration": "test_refusals test_bad_input test_any_input",
    "environment": "test_bad_input test_any_input",
    "input_schemas": "test_refusals test_bad_input test_state test_any_input",
    "inputs": "test_refusals test_bad_input test_any_input",
    "commands/observe/": "test_observe",
    "commands/reconcile": "test_reconcile",
    "rows/": "test_rows test_unmapped_values test_completeness",
    "run/report": "test_report test_log",
    "run/stopping": "test_stopping",
    "services": "test_accounts",
    "streams": "test_completeness test_state",
    "sync/": "test_completeness test_state test_properties",
    "sync/bookmarks": "test_quiet test_state test_report test_properties",
    "sync/fetch": "test_pacing test_budget test_completeness test_faults",
    "sync/lookback": "test_lookback test_properties",
    "sync/prefetch": "test_prefetch test_completeness",
    "sync/stages": "test_accounts test_completeness test_state test_report",
    "sync/window_rows": "test_window_rows test_completeness test_properties",
    "sync/windows": "test_windows test_window_rows test_readings test_completeness",
    "zoom/": "test_client test_completeness test_errors test_faults",
    "zoom/answers": "test_answers test_errors",
    "zoom/auth": "test_client test_clock test_faults test_secrets",
    "zoom/client": "test_client test_completeness test_errors test_faults",
    "zoom/connections": "test_connections test_bounds",
    "zoom/filters": "test_filters",
    "zoom/json_text": "test_answers test_rows",
    "zoom/pacing": "test_pacing test_client test_clock test_faults",
    "zoom/pages": "test_answers test_client test_completeness",
    "zoom/rules": "test_errors test_pacing test_bounds test_faults",
}

# What stands for an operator, and what is put in its place.
OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
}
OTHER_NAME = {"min": "max", "max": "min", "any": "all", "all": "any"}
# Arguments that change nothing of what a run does, whatever they say.
DECIDES_NOTHING = {"frozen", "slots", "strict"}


@dataclass(frozen=True)
class Mutant:
    """One change of one place: bytes from `begin` to `end` of a file become `text`."""

    path: Path
    line: int
    begin: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """Return a file's content with the change."""
        return source[: self.begin] + self.text.encode() + source[self.end :]

    def described(self, source: bytes) -> str:
        """Return where the change is, what stood there, and what stands there now."""
        before = " ".join(source[self.begin : self.end].decode().split())
        return f"{self.path}:{self.line}: {before or '(nothing)'} -> {self.text or '(nothing)'}"


def _decides_nothing(node: ast.AST) -> TypeGuard[ast.keyword]:
    return isinstance(node, ast.keyword) and node.arg in DECIDES_NOTHING


def _is_endless(node: ast.AST) -> TypeGuard[ast.While]:
    """Whether a loop ends from within; a thread that never begins it leaves others waiting."""
    return isinstance(node, ast.While) and isinstance(node.test, ast.Constant)


class Module:
    """A module's text, with the places where a change means something."""

    def __init__(self, path: Path, source: bytes) -> None:
        """Take a module's path within the repository, and its content."""
        self._path = path
        self._source = source
        self._line_begins = [0]
        for line in source.splitlines(keepends=True):
            self._line_begins.append(self._line_begins[-1] + len(line))

    def mutants(self) -> Iterator[Mutant]:
        """Give every mutant of the module, each of which can be compiled."""
        nodes = list(ast.walk(ast.parse(self._source)))
        idle = {each.value for each in nodes if _decides_nothing(each)}
        idle |= {each.test for each in nodes if _is_endless(each)}
        for node in (each for each in nodes if each not in idle):
            yield from self._of_operator(node)
            yield from self._of_value(node)
            yield from self._of_statement(node)

    def _of_operator(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Compare(left, operators, others):
                for one, operator, other in zip([left, *others], operators, others, strict=False):
                    yield from self._with_operator(one, operator, other)
            case ast.BoolOp(operator, operands):
                for one, other in pairwise(operands):
                    yield from self._with_operator(one, operator, other)
            case ast.BinOp(one, operator, other):
                yield from self._with_operator(one, operator, other)

    def _of_value(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.IfExp(test):
                yield self._turned_round(test)
            case ast.Constant(bool(value)):
                yield self._with(node, str(not value))
            case ast.Constant(int(value) | float(value)):
                yield self._with(node, str(value + 1))
            case ast.Call(function, _, keywords):
                if isinstance(function, ast.Name) and function.id in OTHER_NAME:
                    yield self._with(function, OTHER_NAME[function.id])
                for keyword in keywords:
                    if not _decides_nothing(keyword):
                        yield self._without(keyword)

    def _of_statement(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.If(ast.Name("TYPE_CHECKING")) | ast.Expr(ast.Constant()):
                pass
            case ast.If(test):
                yield self._turned_round(test)
            case ast.Expr() | ast.AugAssign() | ast.Raise():
                yield self._with(node, "pass")
            case ast.Assign([ast.Attribute() | ast.Subscript()]):
                # A variable that is not set would fail anyway.
                yield self._with(node, "pass")
            case ast.Continue():
                yield self._with(node, "break")
            case ast.Break():
                yield self._with(node, "continue")
            case ast.Return(ast.expr() as value) if not isinstance(value, ast.Constant):
                yield self._with(value, "None")

    def _span(self, node: Node) -> tuple[int, int]:
        begin = self._line_begins[node.lineno - 1] + node.col_offset
        if node.end_lineno is None or node.end_col_offset is None:
            msg = "the parser gives an end to each node of a text"
            raise AssertionError(msg)
        return begin, self._line_begins[node.end_lineno - 1] + node.end_col_offset

    def _with(self, node: Node, text: str) -> Mutant:
        return Mutant(self._path, node.lineno, *self._span(node), text)

    def _without(self, keyword: ast.keyword) -> Mutant:
        begin, end = self._span(keyword)
        end += self._source[end : end + 1] == b","
        return Mutant(self._path, keyword.lineno, begin, end, "")

    def _turned_round(self, test: ast.expr) -> Mutant:
        begin, end = self._span(test)
        return self._with(test, f"not ({self._source[begin:end].decode()})")

    def _with_operator(self, one: ast.expr, operator: ast.AST, other: ast.expr) -> Iterator[Mutant]:
        """Change the operator between two operands; what else stands between them stays."""
        begin, end = self._span(one)[1], self._span(other)[0]
        between = self._source[begin:end].decode()
        if type(operator) in OPERATORS:
            sign, another = OPERATORS[type(operator)]
            text = between.replace(sign, another, 1)
            yield Mutant(self._path, one.lineno, begin, end, text)


def modules(names: list[str]) -> Iterator[Path]:
    """Give the modules that are named, within the repository; a folder stands for all in it."""
    for name in names:
        place = CLONE / PACKAGE / name
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        yield from (file.relative_to(CLONE) for file in files)


def asked_first(path: Path) -> list[str]:
    """Return the test files that see most of what breaks in a module."""
    inner = path.relative_to(PACKAGE).as_posix()
    prefix = max((prefix for prefix in ASKED_FIRST if inner.startswith(prefix)), key=len)
    return [f"tests/{name}.py" for name in ASKED_FIRST[prefix].split()]


def fails(*arguments: str) -> bool:
    """Whether a test fails in the clone, or hangs; the arguments are pytest's."""
    command = [sys.executable, "dev/test.py", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    try:
        result = subprocess.run(
            command, cwd=CLONE, capture_output=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return True
    return result.returncode != 0


def fails_first(*arguments: str) -> bool:
    """Whether one of the tests that are asked first fails, or takes too long."""
    return fails(f"--timeout={PATIENCE_FOR_ONE}", *arguments)


def survives(mutant: Mutant, *, all_tests: bool) -> bool:
    """Whether no test sees a mutant. The clone is as before when this returns."""
    file = CLONE / mutant.path
    source = file.read_bytes()
    file.write_bytes(mutant.applied(source))
    try:
        first, *others = asked_first(mutant.path)
        killed = fails_first(first, "-n0") or (bool(others) and fails_first(*others))
        return not killed and not (all_tests and fails())
    finally:
        file.write_bytes(source)


def renew_clone() -> None:
    """Bring the clone, and its environment, to the last commit."""
    if not CLONE.exists():
        subprocess.run(["git", "clone", "-q", bootstrap.ROOT, CLONE], check=True)
    subprocess.run(["git", "fetch", "-q", bootstrap.ROOT, "HEAD"], cwd=CLONE, check=True)
    subprocess.run(["git", "reset", "-q", "--hard", "FETCH_HEAD"], cwd=CLONE, check=True)


def main() -> int:
    """Make the mutants, run their tests, and return how many survived, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="+", help="files or folders within tap_zoom_cc")
    parser.add_argument("--count", type=int, default=20, help="how many mutants (20)")
    parser.add_argument("--seed", type=int, default=0, help="another seed chooses others (0)")
    parser.add_argument("--all-tests", action="store_true", help="do not trust the first tests")
    arguments = parser.parse_args()

    renew_clone()
    sources = {path: (CLONE / path).read_bytes() for path in modules(arguments.modules)}
    if fails_first(*sorted({test for path in sources for test in asked_first(path)})):
        print("The tests fail without a mutant.", file=sys.stderr)
        return 1
    found = [
        mutant for path, source in sources.items() for mutant in Module(path, source).mutants()
    ]
    chosen = random.Random(arguments.seed).sample(found, min(arguments.count, len(found)))
    survivors = 0
    for number, mutant in enumerate(chosen, start=1):
        survived = survives(mutant, all_tests=arguments.all_tests)
        survivors += survived
        word = "SURVIVED" if survived else "killed"
        place = mutant.described(sources[mutant.path])
        print(f"{number}/{len(chosen)} {word} {place}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} killed; {len(found)} possible.")
    return min(survivors, 1)


if __name__ == "__main__":
    sys.exit(main())
