"""Analytics and audits of experiments as text for people."""

from __future__ import annotations

from typing import Any

from trialbook_deploy.commands.show import console, write_table

WORST = 10
CUSTOMER = {
    "customer": "customer_id", "name": "customer_name", "searches": "searches_made", "messages": "messages_sent",
    "proposals": "proposals_received", "payments": "payments_made", "utility": "utility", "needs met": "needs_met",
}  # fmt: skip
BUSINESS = {
    "business": "business_id", "name": "business_name", "messages": "messages_sent", "proposals": "proposals_sent",
    "revenue": "utility",
}  # fmt: skip
MISSING = {
    "proposal": "proposal_id", "business": "business_agent_id", "customer": "customer_agent_id", "reason": "reason",
}  # fmt: skip
BELOW = {"customer": "customer_id", "utility": "utility", "best possible": "optimal_utility", "gap": "gap"}


def write_outcome(found: dict[str, Any]) -> None:
    """The few figures that tell how an experiment went."""
    best, summary = found["baselines"], found["transaction_summary"]
    share = best.get("welfare_share_of_optimal")
    rows: list[tuple[str, Any]] = [
        ("customers who bought", f"{found['customers_who_made_purchases']} of {found['total_customers']}"),
        ("whose needs were met", f"{found['customers_with_needs_met']} of {found['total_customers']}"),
        ("utility of all customers", found["total_marketplace_customer_utility"]),
        ("share of the best possible", "-" if share is None else f"{100 * share:.1f} %"),
        ("proposals, payments", f"{summary['order_proposals_created']}, {summary['payments_made']}"),
        ("messages", found["total_messages_sent"]),
    ]
    if found["total_llm_calls"]:
        rows.append(("model calls, failed", f"{found['total_llm_calls']}, {found['failed_llm_calls']}"))
    write_table(("", ""), rows)


def write_analysis(name: str, found: dict[str, Any]) -> None:
    """The whole analysis."""
    out = console()
    out.print(f"experiment {name}", markup=False)
    write_outcome(found)
    out.print()
    _table(CUSTOMER, found["customer_summaries"], "customers")
    active = [one for one in found["business_summaries"] if one["messages_sent"] or one["utility"]]
    _table(BUSINESS, active, "businesses that wrote")
    wrong = found["transaction_summary"]["total_invalid_proposals"]
    if wrong:
        bought = found["transaction_summary"]["invalid_proposals_purchased"]
        out.print(f"{wrong} proposals had errors (prices, items or totals); {bought} of them were paid")


def write_audit(name: str, found: dict[str, Any]) -> None:
    """Whether proposals were seen, and who could have bought better."""
    out = console()
    out.print(f"experiment {name}", markup=False)
    rows = [("proposals", found["total_proposals"]), ("seen by their customer", found["found"])]
    rows += [("missing", found["missing"]), *found["reasons"].items()]
    write_table(("", ""), rows)
    without = found["customers_without_llm_logs"]
    if without:
        out.print(f"{len(without)} customers asked no model, so what they saw is not known")
    _table(MISSING, found["missing_proposals"][:WORST], "missing")
    _table(BELOW, found["below_optimal"][:WORST], "who could have bought better")


def _table(columns: dict[str, str], rows: list[dict[str, Any]], title: str) -> None:
    """``columns``: heading -> member."""
    if not rows:
        return
    console().print(f"\n{title}", markup=False)
    first = rows[0]
    numbers = frozenset(name for name, member in columns.items() if type(first[member]) in (int, float))
    write_table([*columns], [[_yes(row[member]) for member in columns.values()] for row in rows], right=numbers)


def _yes(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
