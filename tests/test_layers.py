"""Imports go down only, and stages never import each other: they meet in tables."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import STAGES

ROOT = Path(__file__).parent.parent
BELOW = {"data": set(), "stages": {"data"}, "sophia_cli": {"stages", "data"}}
"""Package -> those of ours that it may import."""
FILES = [path.relative_to(ROOT) for package in BELOW for path in (ROOT / package).rglob("*.py")]


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere in it, and what it takes from them."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_down_only(package: str) -> None:
    upwards = {
        (str(path), name)
        for path in FILES
        if path.parts[0] == package
        for name in imported(path)
        if name.split(".")[0] in BELOW.keys() - BELOW[package] - {package}
    }
    assert upwards == set()


def test_nothing_below_the_command_imports_a_stage() -> None:
    found = {
        (str(path), name)
        for path in FILES
        if path.parts[0] != "sophia_cli"
        for name in imported(path)
        if name in STAGES.values()
    }
    assert found == set()
