"""The scripts of `dev/`: mutants of every kind of place, and a window's way through the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mutate
import pytest

from tests.checkout import ROOT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = a <= b == c", ["x = a < b == c", "x = a <= b != c"]),
        ("x = é and (b) and c", ["x = é or (b) and c", "x = é and (b) or c"]),
        ("x = a + (b - c)", ["x = a - (b - c)", "x = a + (b + c)"]),
        ("a = 1", ["a = 2"]),
        ("a = True", ["a = False"]),
        ("a = b if c else d", ["a = b if not (c) else d"]),
        ("if a or b: c = d", ["if a and b: c = d", "if not (a or b): c = d"]),
        ("a = min(b)", ["a = max(b)"]),
        ("a = b(c=d, e=f)", ["a = b( e=f)", "a = b(c=d, )"]),
        ("self.a = b", ["pass"]),
        ("raise a", ["pass"]),
        ("while a: continue", ["while a: break"]),
        ("while a: break", ["while a: continue"]),
        ("def a(): return b", ["def a(): return None"]),
        # What decides nothing is left alone.
        ('"""What it is."""', []),
        ("if TYPE_CHECKING: a = b", []),
        ("a = dataclass(slots=True)", []),
        ("while True: a = b", []),
    ],
)
def test_each_kind_of_place_is_broken_one_at_a_time(text: str, expected: list[str]) -> None:
    source = text.encode()
    mutants = mutate.Module(Path("a.py"), source).mutants()
    assert sorted(mutant.applied(source).decode() for mutant in mutants) == sorted(expected)


def test_every_mutant_of_a_module_is_a_program_that_differs() -> None:
    source = (ROOT / "tap_zoom_cc" / "sync" / "window_rows.py").read_bytes()
    mutants = list(mutate.Module(Path("sync/window_rows.py"), source).mutants())

    texts = {mutant.applied(source) for mutant in mutants}
    assert len(texts) == len(mutants) > 100
    for text in texts:
        compile(text, "window_rows.py", "exec")


def test_the_tests_to_ask_and_the_modules_exist() -> None:
    names = {name for names in mutate.ASKED_FIRST.values() for name in names.split()}
    assert [name for name in names if not (ROOT / "tests" / f"{name}.py").is_file()] == []
    package = ROOT / "tap_zoom_cc"
    modules = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    unknown = [p for p in mutate.ASKED_FIRST if not any(m.startswith(p) for m in modules)]
    assert unknown == [], "a module that is asked about has another name now"


def test_a_sync_of_one_account_passes_few_files_and_functions() -> None:
    """More of them are no error, but the reader's loss: `python -m dev.way --list` names them."""
    command = [sys.executable, "-m", "dev.way", "--rows", "30"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = re.fullmatch(r"30 rows: (\d+) files, (\d+) functions, \d+ changes\n", told)
    assert found, told
    files, functions = map(int, found.groups())
    assert files <= 22
    assert functions <= 142
