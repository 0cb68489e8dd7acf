"""Which dialect a root request means: the routing rules as a table, with the claims of systems that share paths."""

from __future__ import annotations

import pytest

from trialbook_gateway.dialects.claims import ByBody, Chosen, Claim, Decision, Shared, Unknown, decide
from trialbook_gateway.dialects.marketplace.app import CLAIMS as MARKETPLACE

GET, POST = frozenset({"GET"}), frozenset({"POST"})
AIDE = (
    Claim(path="/api/experiments", methods=POST, body="goal"),
    Claim(path="/api/experiments", methods=GET, query=frozenset({"page", "status"})),
    Claim(path="/api/experiments/{id}", methods=frozenset({"GET", "DELETE"})),
    Claim(path="/api/experiments/{id:exp_[0-9a-f]{12}}/status", methods=GET),
    Claim(path="/api/experiments/{id}/stop", methods=POST),
    Claim(path="/api/files/{id}", methods=GET),
    Claim(path="/ws/experiments/{id}", kind="websocket"),
    Claim(path="/api/experiments/..."),
    Claim(path="/api/files/..."),
)
ORCHESTRATOR = (
    Claim(path="/ws/{session_id}", kind="websocket"),
    Claim(path="/execute-workflow", methods=POST),
    Claim(path="/api/v1/execute-workflow", methods=POST),
)
FINETUNE = (Claim(path="/api/v1/jobs", methods=frozenset({"GET", "POST"})), Claim(path="/api/v1/jobs/..."))
ALL = {"marketplace": MARKETPLACE, "aide": AIDE, "orchestrator": ORCHESTRATOR, "finetune": FINETUNE}
MARKET, AI = Chosen("marketplace"), Chosen("aide")

RULES = [
    ("GET", "/api/datasets", set(), MARKET),
    ("GET", "/api/settings", set(), MARKET),
    ("POST", "/api/experiments", set(), ByBody({"dataset": "marketplace", "goal": "aide"})),
    ("GET", "/api/experiments", set(), MARKET),
    ("GET", "/api/experiments", {"limit", "host"}, MARKET),
    ("HEAD", "/api/experiments", set(), MARKET),
    ("GET", "/api/experiments", {"page"}, AI),
    ("GET", "/api/experiments", {"limit", "status"}, AI),
    ("GET", "/api/experiments/exp_0123456789ab/status", set(), AI),
    ("GET", "/api/experiments/exp_0123456789aB/status", set(), MARKET),
    ("GET", "/api/experiments/exp_0123456789abc/status", set(), MARKET),
    ("GET", "/api/experiments/my_experiment/status", set(), MARKET),
    ("GET", "/api/experiments/my_experiment/logs", set(), MARKET),
    ("GET", "/api/experiments/exp_0123456789ab/logs", set(), MARKET),
    ("GET", "/api/experiments/a", set(), AI),
    ("DELETE", "/api/experiments/a", set(), AI),
    ("POST", "/api/experiments/a/stop", set(), AI),
    ("DELETE", "/api/datasets", set(), MARKET),
    ("GET", "/api/experiments/a/b/c", set(), Shared(("marketplace", "aide"))),
    ("GET", "/api/files/a/b", set(), Chosen("aide", known=False)),
    ("GET", "/api/datasets/a", set(), Chosen("marketplace", known=False)),
    ("GET", "/api/v1/jobs/x/y", set(), Chosen("finetune", known=False)),
    ("POST", "/api/v1/execute-workflow", set(), Chosen("orchestrator")),
    ("GET", "/nothing", set(), Unknown()),
    ("GET", "/api/experimentss", set(), Unknown()),
    ("GET", "/api/v1", set(), Unknown()),
]


@pytest.mark.parametrize(("method", "path", "query", "expected"), RULES)
def test_http_rules(method: str, path: str, query: set[str], expected: Decision) -> None:
    assert decide(ALL, "http", method, path, query) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/experiments/a/logs/ws", MARKET),
        ("/ws/session", Chosen("orchestrator")),
        ("/ws/experiments/exp_1", AI),
        ("/api/experiments/a/logs", Unknown()),
        ("/ws/a/b/c", Unknown()),
    ],
)
def test_websocket_rules(path: str, expected: Decision) -> None:
    assert decide(ALL, "websocket", "", path) == expected


def test_without_its_neighbours_a_shared_path_needs_no_rule() -> None:
    alone = {"marketplace": MARKETPLACE}
    assert decide(alone, "http", "POST", "/api/experiments") == MARKET
    assert decide(alone, "http", "GET", "/api/experiments", {"page"}) == MARKET
    assert decide(alone, "http", "POST", "/api/experiments/a/cancel") == Chosen("marketplace", known=False)


def test_a_line_break_never_ends_a_path() -> None:
    assert decide(ALL, "http", "GET", "/api/datasets\n") == Unknown()
    assert decide(ALL, "http", "GET", "/api/experiments/a\n/status") == MARKET
