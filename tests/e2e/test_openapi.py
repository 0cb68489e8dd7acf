"""What the OpenAPI documents promise is true, whatever is sent: no 5xx, no undocumented status, type or shape."""

import asyncio
import sys
from pathlib import Path

import pytest

from trialbook_deploy.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance"
)
SEED = "20261120"


DOCUMENTS = {"/openapi.json": 3, "/marketplace/openapi.json": 12, "/algomancy/openapi.json": 8}
"""Examples per operation: the union has the others' operations once more and takes longest."""
MANY = [pytest.param(document, 150, marks=pytest.mark.slow) for document in DOCUMENTS]


@pytest.mark.parametrize(("document", "examples"), [*DOCUMENTS.items(), *MANY])
async def test_no_answer_is_undocumented(tmp_path: Path, document: str, examples: int) -> None:
    settings = {"TRIALBOOK_LIVE_LIFE_S": "0.5", "TRIALBOOK_ASK_TIMEOUT_S": "60"}  # streams end, a busy machine may rest
    async with Stack(tmp_path / "data", env=settings) as stack:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{stack.url}{document}"),
            *("--checks", CHECKS, "--max-examples", str(examples), "--seed", SEED, "--workers", "1"),
            *("--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "100", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()[-20_000:]
        assert "Traceback" not in stack.logs()
