"""What the style checks read: the project's Python files as syntax trees, and all its files as text."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("contracts", "services", "deploy")
EVERYTHING = (*PRODUCT, "tests", "benchmarks")


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path  # relative to the root of the repository
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def at(self, node: ast.AST, what: str) -> str:
        """A finding as an editor understands it."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"

    def says(self, node: ast.expr | ast.stmt, mark: str) -> bool:
        """Whether a line of `node`, or the one above it, carries the comment `mark` with a reason."""
        first, last = max(node.lineno - 2, 0), node.end_lineno or node.lineno
        return any(line.partition(f"# {mark}")[2].strip() for line in self.lines[first:last])


def sources(*folders: str) -> Iterator[Source]:
    """All Python files below `folders`."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield Source(path.relative_to(ROOT), path.read_text())


def sample(text: str, path: str = "sample.py") -> Source:
    """A source made up to try a check on."""
    return Source(Path(path), text)


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Name and text of every file under version control; those that are no text are left out."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield name, content.decode(errors="replace")


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute chain; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def docstrings(tree: ast.Module) -> set[int]:
    """Identities of the constants that are docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }
