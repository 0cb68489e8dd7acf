"""The customer agent: executes what its policy decides, step by step, until it stops (facts, section 8.1)."""

from __future__ import annotations

from trialbook_marketplace.agents.decisions import CustomerAction, PaymentToBusiness
from trialbook_marketplace.agents.limits import Control, NeverHang, RunStopped, pass_checkpoint
from trialbook_marketplace.agents.policy import (
    Checked,
    CustomerPolicy,
    CustomerView,
    Failed,
    Offer,
    Received,
    Searched,
    SendOutcome,
    Sent,
)
from trialbook_marketplace.agents.session import Session
from trialbook_marketplace.agents.wakeups import Reason
from trialbook_marketplace.protocol.actions import Search
from trialbook_marketplace.protocol.messages import OrderProposal, Payment, TextMessage
from trialbook_marketplace.rows import SinkFailed


class CustomerAgent:
    """One customer of one run."""

    def __init__(
        self,
        session: Session,
        view: CustomerView,
        policy: CustomerPolicy,
        control: Control,
        search: tuple[str, int],
        limits: NeverHang,
    ) -> None:
        """``search`` is the run's algorithm and bandwidth."""
        self.view = view
        self._session = session
        self._policy = policy
        self._control = control
        self._algorithm, self._bandwidth = search
        self._limits = limits
        self._stopped = False
        self._failures = 0
        self._idle_checks = 0
        self._woken: Reason | None = None

    async def run(self) -> None:
        """Step until stopped; raises ``RunStopped`` or ``SinkFailed``."""
        self._session.log("info", "Starting autonomous shopping agent")
        while True:
            await pass_checkpoint(self._control)
            await self._step()
            if self._must_stop():
                break
            wait = self._policy.patience(self.view)
            self._woken = None
            if wait is not None:
                self._woken = await self._session.wakeups.wait(self._session.agent_id, wait.senders)
        self._session.wakeups.leave(self._session.agent_id)

    async def _step(self) -> None:
        self.view.step += 1
        try:
            action = await self._policy.decide(self.view)
            async with self._session.turn:
                self._log_action(action)
                await self._execute(action)
            self._failures = 0
        except (SinkFailed, RunStopped):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a policy raises is its failed decision, on the record
            self._failures += 1
            self.view.history.append(Failed(self.view.step, str(error)))
            self._session.log("error", f"Error in agent step: {error}")

    def _must_stop(self) -> bool:
        view, limits = self.view, self._limits
        if self._stopped:
            return True
        if self._failures >= limits.failed_decisions:
            self._session.log("error", f"Stopped after {self._failures} failed decisions in a row")
            return True
        if self._idle_checks >= limits.idle_checks:
            self._session.log("warning", f"Stopped after {self._idle_checks} checks without new messages")
            return True
        if view.max_steps is not None and view.step >= view.max_steps:
            self._session.log("warning", "Max steps exceeded, shutting down early!")
            return True
        return False

    def _log_action(self, action: CustomerAction) -> None:
        limit = "inf" if self.view.max_steps is None else str(self.view.max_steps)
        step = f"[Step {self.view.step}/{limit}]"
        self._session.log("info", f"{step} Action: {action.action_type}. Reason: {action.reason}")

    async def _execute(self, action: CustomerAction) -> None:
        idle = False
        match action.action_type:
            case "search_businesses":
                await self._search(action)
            case "send_messages":
                self._send(action)
            case "check_messages":
                idle = not self._check(action) and self._woken is Reason.QUIESCENT
            case "end_transaction":
                self._stopped = True
        self._idle_checks = self._idle_checks + 1 if idle else 0

    async def _search(self, action: CustomerAction) -> None:
        query = action.search_query or self.view.customer.request
        request = Search(query, self._algorithm, None, self._bandwidth, action.search_page)
        place = f"page {action.search_page}, limit {self._bandwidth}"
        self._session.log("info", f'Search: "{query}", {self._algorithm}, {place}')
        result = await self._session.search(request)
        if result.is_error:
            raise ValueError(result.content["error"])
        content = result.content
        hits = content["businesses"]
        names = ", ".join(hit["business"]["name"] for hit in hits)
        self._session.log("info", f"Search Result: {names or 'no businesses'}")
        pages, total = content["total_pages"], content["total_possible_results"]
        self.view.page = Searched(self.view.step, action, action.search_page, pages, total, hits)
        self.view.history.append(self.view.page)

    def _send(self, action: CustomerAction) -> None:
        if action.messages is None:
            raise ValueError("messages is required for send_messages")
        outcomes = []
        for text in action.messages.text_messages:
            message = TextMessage(text.content)
            error = self._session.send(text.to_business_id, message)
            outcomes.append(SendOutcome(text.to_business_id, message, error))
        outcomes += [self._pay(wish) for wish in action.messages.pay_messages]
        self.view.history.append(Sent(self.view.step, action, outcomes))

    def _pay(self, wish: PaymentToBusiness) -> SendOutcome:
        payment = Payment(
            wish.proposal_message_id,
            wish.payment_method or "credit_card",
            wish.delivery_address,
            wish.payment_message or f"Payment for proposal {wish.proposal_message_id}",
        )
        offer = self.view.offers.get(wish.proposal_message_id)
        if offer is None:
            error = f"No proposal with id {wish.proposal_message_id} was received"
            self._session.log("error", f"Payment failed: {error}")
            return SendOutcome(wish.to_business_id or "", payment, error)
        refusal = self._session.send(offer.business_id, payment)
        if refusal is None:
            offer.status = "accepted"
            total = f"{offer.proposal.total_price:.2f}"
            self._session.log("info", f"Payment of ${total} sent to {offer.business_id} for {offer.proposal.id}")
        elif offer.status == "pending":
            offer.status = "rejected"
        return SendOutcome(offer.business_id, payment, refusal)

    def _check(self, action: CustomerAction) -> bool:
        messages = self._session.fetch_new()
        for received in messages:
            self._keep(received)
        self.view.history.append(Checked(self.view.step, action, messages))
        return bool(messages)

    def _keep(self, received: Received) -> None:
        """Store a proposal; nobody can replace another business's proposal by reusing its id."""
        proposal, sender = received.message, received.from_agent_id
        if isinstance(proposal, OrderProposal):
            known = self.view.offers.get(proposal.id)
            if known is None or (known.business_id == sender and known.status == "pending"):
                self.view.offers[proposal.id] = Offer(sender, proposal)
