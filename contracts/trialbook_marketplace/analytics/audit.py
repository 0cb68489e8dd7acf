"""Whether customers saw what they were offered, and whether they bought well (facts, section 11)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from trialbook_marketplace.analytics.calls import ModelCall, last_calls
from trialbook_marketplace.analytics.ledger import Ledger, Proposed, read_ledger
from trialbook_marketplace.analytics.utility import customer_utility, needs_met, payments_of
from trialbook_marketplace.baselines import options
from trialbook_marketplace.rows import Row

NO_LOGS = "customer made no LLM call"
NOT_SEEN = "not in the prompt or response of the customer's last LLM call"


def audit(
    agents: Iterable[Row], actions: Iterable[Row], logs: Iterable[Row], fuzzy_match_distance: int = 0
) -> dict[str, Any]:
    """``total_proposals, found, missing, reasons, missing_proposals, customers, customers_without_llm_logs,
    below_optimal``; the last one sorted by gap, largest first.
    """
    ledger = read_ledger(agents, actions)
    last = last_calls(logs)
    texts = {agent: _text(call) for agent, call in last.items()}
    missing = [_missing(proposed, texts) for proposed in ledger.proposals if not _found(proposed, texts)]
    reasons: dict[str, int] = {}
    for entry in missing:
        reasons[entry["reason"]] = reasons.get(entry["reason"], 0) + 1
    return {
        "total_proposals": len(ledger.proposals),
        "found": len(ledger.proposals) - len(missing),
        "missing": len(missing),
        "reasons": dict(sorted(reasons.items())),
        "missing_proposals": missing,
        "customers": _by_customer(ledger, texts),
        "customers_without_llm_logs": sorted(ledger.customers.keys() - last.keys()),
        "below_optimal": _below_optimal(ledger, fuzzy_match_distance),
    }


def _text(call: ModelCall) -> str:
    """Prompt and response as text; ids hold no character that JSON would escape differently."""
    seen = [call.data.get("prompt"), call.data.get("response")]
    return "\n".join(part if isinstance(part, str) else msgspec.json.encode(part).decode() for part in seen)


def _found(proposed: Proposed, texts: dict[str, str]) -> bool:
    text = texts.get(proposed.recipient, "")
    identifier = proposed.proposal.id
    # As JSON too: an id with quotes or backslashes stands escaped in the prompt's own JSON.
    return identifier in text or msgspec.json.encode(identifier).decode()[1:-1] in text


def _missing(proposed: Proposed, texts: dict[str, str]) -> dict[str, Any]:
    return {
        "proposal_id": proposed.proposal.id,
        "business_agent_id": proposed.sender,
        "customer_agent_id": proposed.recipient,
        "reason": NOT_SEEN if proposed.recipient in texts else NO_LOGS,
    }


def _by_customer(ledger: Ledger, texts: dict[str, str]) -> dict[str, dict[str, int]]:
    counts = {customer: {"proposals": 0, "found": 0, "missing": 0} for customer in sorted(ledger.customers)}
    for proposed in ledger.proposals:
        if (mine := counts.get(proposed.recipient)) is not None:
            mine["proposals"] += 1
            mine["found" if _found(proposed, texts) else "missing"] += 1
    return counts


def _below_optimal(ledger: Ledger, distance: int) -> list[dict[str, Any]]:
    """Customers who paid but could have done better, by the best u_b of section 12."""
    found = []
    businesses = list(ledger.businesses.values())
    for customer_id, payments in payments_of(ledger).items():
        if not payments:
            continue
        customer = ledger.customers[customer_id]
        best = max((option.utility for option in options(customer, businesses)), default=None)
        utility = customer_utility(customer, payments, needs_met(customer, payments, ledger, distance))
        if best is not None and utility < best:
            gap = round(best - utility, 2)
            found.append({"customer_id": customer_id, "utility": utility, "optimal_utility": best, "gap": gap})
    return sorted(found, key=lambda entry: (-entry["gap"], entry["customer_id"]))
