"""OpenTelemetry: a request is a span, a child of the caller's, and the facts it causes name that span."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.gateway.conftest import ENV, Site

pytestmark = pytest.mark.integration
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_a_request_is_a_span_and_its_facts_name_it(tmp_path: Path) -> None:
    site = Site(tmp_path, {**ENV, "OTEL_TRACES_EXPORTER": "console"})
    site.start()
    try:
        async with httpx.AsyncClient(base_url=site.url, timeout=20) as http:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            made = await http.post("/v1/files?name=a", content=b"x", headers=headers)
            assert made.status_code == 201
            page = await http.get(f"/v1/events?kind=file&aggregate={made.json()['id']}")
            plain = await http.post("/v1/files?name=b", content=b"y", headers={"traceparent": "nonsense"})
            assert plain.status_code == 201
    finally:
        site.stop()  # what is still waiting is exported at the end
    version, trace, span, flags = page.json()["items"][0]["event"]["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != PARENT
    log = site.gateway.log()
    _, found, told = log.partition(f'"span_id": "0x{span}"')
    assert found, "the span was exported"
    assert f'"parent_id": "0x{PARENT}"' in told[:400]
    assert '"http.route": "/v1/files"' in told[:1200]
    assert '"http.response.status_code": 201' in told[:1200]
