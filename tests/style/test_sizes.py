"""Small files, small functions: what fits on a screen is read, what does not is searched.

A file has at most 400 lines; the body of a function, its docstring aside, at most 40.
"""

from __future__ import annotations

import ast

from tests.style.source import EVERYTHING, Source, sample, sources

FILE_LINES = 400
FUNCTION_LINES = 40


def violations(source: Source) -> list[str]:
    found = []
    if len(source.lines) > FILE_LINES:
        found.append(f"{source.path}:1: {len(source.lines)} lines, at most {FILE_LINES}")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = _body_lines(node)
            if length > FUNCTION_LINES:
                found.append(source.at(node, f"{node.name} has a body of {length} lines, at most {FUNCTION_LINES}"))
    return found


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_files_and_functions_are_small() -> None:
    found = [violation for source in sources(*EVERYTHING) for violation in violations(source)]
    assert not found, "\n".join(found)


def test_large_ones_are_seen() -> None:
    assert violations(sample("x = 1\n" * 401))
    assert violations(sample("def f():\n" + "    x = 1\n" * 41))
    assert violations(sample("class A:\n    async def f(self):\n" + "        x = 1\n" * 41))


def test_those_at_the_limit_are_not() -> None:
    assert not violations(sample("x = 1\n" * 400))
    assert not violations(sample('def f():\n    """Says.\n' + "\n" * 20 + '    """\n' + "    x = 1\n" * 40))
