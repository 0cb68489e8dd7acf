"""One document for the root: shared operations with oneOf, undocumented paths left out."""

from __future__ import annotations

from typing import Any

from tests.dialects.test_root_router import answering
from trialbook_gateway.dialects.claims import Claim
from trialbook_gateway.dialects.dialect import Dialect
from trialbook_gateway.dialects.shapes import plain
from trialbook_gateway.dialects.union import union


def described(model: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}
    return {
        "parameters": [{"name": "limit", "in": "query"}], "requestBody": {"content": content, "required": True},
        "responses": {"200": {"description": "OK", "content": content}},
    }  # fmt: skip


def a_dialect(system: str, path: str) -> Dialect:
    document = {
        "paths": {path: {"post": described("Body")}, "/only/here": {"get": described("Body")}},
        "components": {"schemas": {"Body": {"title": system}}},
    }
    claims = (Claim(path=path, methods=frozenset({"POST"})),)
    return Dialect(
        system=system, title=system, app=answering(system), claims=claims, openapi=lambda: document, refuse=plain
    )


def test_a_shared_operation_is_described_with_one_of() -> None:
    native = {"paths": {"/v1": {"get": {}}}, "components": {"schemas": {"Body": {"title": "native"}}}}
    build = union(lambda: native, [a_dialect("marketplace", "/api/x"), a_dialect("aide", "/api/x")])
    document = build()
    operation = document["paths"]["/api/x"]["post"]
    both = [{"$ref": f"#/components/schemas/{name}Body"} for name in ("Marketplace", "Aide")]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {"oneOf": both}
    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == {"oneOf": both}
    assert operation["tags"] == ["marketplace", "aide"]
    assert [p["name"] for p in operation["parameters"]] == ["limit"]
    assert set(document["components"]["schemas"]) == {"Body", "MarketplaceBody", "AideBody"}
    assert set(document["paths"]) == {"/v1", "/api/x"}
    assert native["paths"] == {"/v1": {"get": {}}}, "the native document is left as it was"
