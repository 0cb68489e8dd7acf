"""Tables of the documentation that are read from the code. `python -m tests.docs.generated` writes them anew."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from tests.style.source import ROOT, sources
from trialbook.aggregates import AGGREGATES
from trialbook.errors import KINDS
from trialbook_gateway.problems import STATUS

DOCS = ROOT / "docs"
MARK = re.compile(r"(<!-- generated: (?P<name>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
FOLDERS = ("contracts/trialbook", "services/gateway/trialbook_gateway", "services/projector/trialbook_projector")
CLASSES = {kind.__name__: name for name, kind in KINDS.items()}
CODE = re.compile(r"[a-z][a-z0-9_]*")


def _first_sentence(text: str | None) -> str:
    line = " ".join((text or "").split("\n\n")[0].split())
    return line.replace("|", "\\|")


def _type(annotation: Any) -> str:
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("|", "or")


def _fields(cls: Any) -> str:
    parts = []
    for field in msgspec.structs.fields(cls):
        optional = "" if field.required else "?"
        parts.append(f"`{field.encode_name}{optional}`: {_type(field.type)}")
    return ", ".join(parts) or "none"


def facts() -> str:
    """Every fact type with the fields of its data; `?` marks those that may be absent."""
    rows = ["| type | what it says | data |", "|---|---|---|"]
    for aggregate in AGGREGATES.values():
        for type_, cls in aggregate.events.items():
            rows.append(f"| `{type_}` | {_first_sentence(cls.__doc__)} | {_fields(cls)} |")
    return "\n".join(rows) + "\n"


def _literal(node: ast.expr | None) -> str:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) and CODE.fullmatch(value) else ""


def _statuses(call: ast.Call) -> tuple[str, str]:
    """Code and status of a refusal that is built here; empty when neither is a literal."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "HttpRefusal" and len(call.args) > 1 and isinstance(call.args[0], ast.Constant):
        return _literal(call.args[1]), str(call.args[0].value)
    if name in CLASSES and call.args:
        return _literal(call.args[0]), str(STATUS[CLASSES[name]])
    return "", ""


def problem_codes() -> dict[str, str]:
    """Code -> HTTP status, of every refusal that contracts, gateway and projector spell out."""
    found: dict[str, set[str]] = {}
    for source in sources(*FOLDERS):
        if any(part in source.path.parts for part in ("testing", "llm", "dialects", "client")):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                code, status = _statuses(node)
                if code:
                    found.setdefault(code, set()).add(status)
    return {code: ", ".join(sorted(found[code])) for code in sorted(found)}


def problems() -> str:
    """Codes by status."""
    by_status: dict[str, list[str]] = {}
    for code, status in problem_codes().items():
        by_status.setdefault(status, []).append(f"`{code}`")
    rows = ["| status | codes |", "|---|---|"]
    rows += [f"| {status} | {', '.join(codes)} |" for status, codes in sorted(by_status.items())]
    return "\n".join(rows) + "\n"


TABLES: dict[str, Callable[[], str]] = {"facts": facts, "problems": problems}


def filled(text: str) -> str:
    """A page with its generated tables as the code has them now."""
    return MARK.sub(lambda found: found[1] + TABLES[found["name"]]() + found[3], text)


def main() -> int:
    """Write all pages; says which have changed."""
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text()
        after = filled(before)
        if after != before:
            page.write_text(after)
            sys.stdout.write(f"{page.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
