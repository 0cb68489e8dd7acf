"""One page that shows an experiment live; all that it shows comes from the other routes."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from trialbook_gateway.dialects.marketplace import experiments
from trialbook_gateway.dialects.marketplace.routes.described import described

HTML = "text/html"
PATH = re.compile(r"/api/experiments/[^/]+/dashboard")
PAGE = (Path(__file__).parent.parent / "dashboard.html").read_text(encoding="utf-8")
router = APIRouter(tags=["beyond the original"])


def policy_of(page: str) -> str:
    """The Content-Security-Policy under which a page's own script and style run, and nothing else whatever."""

    def digest(tag: str) -> str:
        inside = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        return f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {digest('script')}; style-src {digest('style')}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


HEADERS = {
    "Content-Security-Policy": policy_of(PAGE), "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}  # fmt: skip


@router.get(
    "/api/experiments/{name}/dashboard",
    response_class=Response,
    responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}, **described(400)},
)
async def experiment_dashboard(name: str) -> Response:
    """A page with status, progress, threads, proposals, payments and logs, which renews itself.

    It holds nothing of the experiment and needs no token: it asks the user for one and sends it with its questions.
    """
    experiments.check_name(name)
    return Response(PAGE, media_type=f"{HTML}; charset=utf-8", headers=HEADERS)
