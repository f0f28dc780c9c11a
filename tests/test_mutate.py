"""`dev/mutate.py` breaks every kind of place, one at a time, and leaves what stands around it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def mutate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the script, which finds its neighbours in its own folder."""
    monkeypatch.syspath_prepend(ROOT / "dev")
    return importlib.import_module("mutate")


def mutated(mutate: ModuleType, text: str) -> list[str]:
    """Return what becomes of a text."""
    source = text.encode()
    return [m.applied(source).decode() for m in mutate.Module(Path("a.py"), source).mutants()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a <= b == c", ["x = a < b == c", "x = a <= b != c"]),
        ("x = é and (b) and c", ["x = é or (b) and c", "x = é and (b) or c"]),
        ("x = a + (b - c)", ["x = a - (b - c)", "x = a + (b + c)"]),
        ("x = a is not None", ["x = a is None"]),
        ("a = 1", ["a = 2"]),
        ("a = True", ["a = False"]),
        ("a = b if c else d", ["a = b if not (c) else d"]),
        ("if a or b: c = d", ["if a and b: c = d", "if not (a or b): c = d"]),
        ("a = min(b)", ["a = max(b)"]),
        ("a = b(c, d=e)", ["a = b(c, )"]),
        ("a = b(c=d, e=f)", ["a = b( e=f)", "a = b(c=d, )"]),
        ("self.a = b", ["pass"]),
        ("self.a += b", ["pass"]),
        ("a(b)", ["pass"]),
        ("raise a", ["pass"]),
        ("while a: continue", ["while a: break"]),
        ("while a: break", ["while a: continue"]),
        ("def a(): return b", ["def a(): return None"]),
        ('"""What it is."""', []),
        ("if TYPE_CHECKING: a = b", []),
        ("a: int", []),
        ("a = {'b': 'c'}", []),
        ("a = b", []),
        ("a = dataclass(slots=True)", []),
        ("while True: a = b", []),
    ],
)
def test_each_kind_of_place_is_broken_and_what_decides_nothing_is_left_alone(
    mutate: ModuleType, text: str, expected: list[str]
) -> None:
    assert sorted(mutated(mutate, text)) == sorted(expected)


def test_every_mutant_of_a_module_is_a_program_that_differs(mutate: ModuleType) -> None:
    source = (ROOT / "tap_zoom_cc" / "sync" / "window_rows.py").read_bytes()
    mutants = list(mutate.Module(Path("sync/window_rows.py"), source).mutants())

    texts = {mutant.applied(source) for mutant in mutants}
    assert len(texts) == len(mutants) > 100
    for text in texts:
        compile(text, "window_rows.py", "exec")


def test_the_tests_to_ask_exist(mutate: ModuleType) -> None:
    names = {name for names in mutate.ASKED_FIRST.values() for name in names.split()}
    assert [name for name in names if not (ROOT / "tests" / f"{name}.py").is_file()] == []
    modules = [path.relative_to(ROOT / "tap_zoom_cc") for path in ROOT.glob("tap_zoom_cc/**/*.py")]
    begins = [prefix for prefix in mutate.ASKED_FIRST if prefix]
    known = [p for p in begins if any(m.as_posix().startswith(p) for m in modules)]
    assert known == begins, "a module that is asked about has another name now"
