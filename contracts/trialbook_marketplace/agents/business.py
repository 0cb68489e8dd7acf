"""The business agent: answers payments by rule and texts by its policy (facts, section 8.2)."""

from __future__ import annotations

import asyncio

import msgspec

from trialbook_marketplace.agents.decisions import BusinessAction
from trialbook_marketplace.agents.limits import Control, NeverHang, RunStopped, pass_checkpoint
from trialbook_marketplace.agents.policy import BusinessPolicy, Conversation, Line, Offer, Received
from trialbook_marketplace.agents.session import Session
from trialbook_marketplace.agents.wakeups import Reason
from trialbook_marketplace.models import Business
from trialbook_marketplace.protocol.messages import Message, OrderProposal, Payment, TextMessage
from trialbook_marketplace.rows import SinkFailed


class BusinessAgent:
    """One business of one run."""

    def __init__(
        self, session: Session, business: Business, policy: BusinessPolicy, control: Control, limits: NeverHang
    ) -> None:
        self.business = business
        self._session = session
        self._policy = policy
        self._control = control
        self._limits = limits
        self._failures = 0
        self._conversations: dict[str, Conversation] = {}

    async def run(self) -> None:
        """Work on messages until the market closes; raises ``RunStopped`` or ``SinkFailed``."""
        self._session.log("info", "Ready for customers")
        wakeups, me = self._session.wakeups, self._session.agent_id
        while await wakeups.wait(me) is not Reason.CLOSED:
            await pass_checkpoint(self._control)
            await self._step()
        wakeups.leave(me)

    async def _step(self) -> None:
        """Take the new messages and work on all customers at once; ordered, so that arrival does not matter."""
        by_customer: dict[str, list[Message]] = {}
        for received in self._session.fetch_new():
            by_customer.setdefault(received.from_agent_id, []).append(self._heard(received))
        answers = self._failures < self._limits.failed_decisions
        waiting = sorted(by_customer.items())
        if self._policy.calls_model:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._serve(customer, heard, answers)) for customer, heard in waiting]
            self._count([task.result() for task in tasks])
        else:
            self._count([await self._serve(customer, heard, answers) for customer, heard in waiting])

    def _count(self, outcomes: list[bool | None]) -> None:
        """Count failures in a row in the order of customers: which answer came first must not matter."""
        for succeeded in outcomes:
            if succeeded is not None:
                self._failures = 0 if succeeded else self._failures + 1
                if self._failures == self._limits.failed_decisions:
                    self._session.log("error", f"No further answers after {self._failures} failed decisions in a row")

    def _heard(self, received: Received) -> Message:
        customer = received.from_agent_id
        conversation = self._conversations.setdefault(customer, Conversation(self.business, customer))
        conversation.lines.append(Line("customer", received.message))
        return received.message

    async def _serve(self, customer: str, messages: list[Message], answers: bool) -> bool | None:
        """Confirm payments and answer the latest text; True if it was answered, False if that failed."""
        conversation = self._conversations[customer]
        texts = [message.content for message in messages if isinstance(message, TextMessage)]
        try:
            for message in messages:
                if isinstance(message, Payment):
                    self._confirm(conversation, message)
            if not texts or not answers or not self._reachable(customer):
                return None
            self._send_reply(conversation, await self._policy.reply(conversation, texts[-1]))
        except (SinkFailed, RunStopped):
            raise
        except Exception as error:  # noqa: BLE001 - one failed answer must not keep other customers waiting
            self._session.log("error", f"Error in agent step: {error}")
            return False
        return True

    def _reachable(self, customer: str) -> bool:
        """A model's answer is spared for a customer that has stopped."""
        return not (self._policy.calls_model and self._session.wakeups.has_left(customer))

    def _confirm(self, conversation: Conversation, payment: Payment) -> None:
        customer, proposal_id = conversation.customer_id, payment.proposal_message_id
        offer = conversation.offers.get(proposal_id)
        if offer is None or offer.status != "pending":
            self._say(
                conversation, TextMessage(f"Your payment could not be matched: proposal {proposal_id} not found.")
            )
            return
        offer.status = "accepted"
        total = f"{offer.proposal.total_price:.2f}"
        self._session.log("info", f"Payment of ${total} from {customer} processed for {proposal_id}")
        sent = self._say(
            conversation, TextMessage(f"Payment received! Your order {proposal_id} over ${total} is confirmed.")
        )
        if sent:
            self._session.log("info", f"Payment of {proposal_id} confirmed to {customer}")

    def _send_reply(self, conversation: Conversation, reply: BusinessAction) -> None:
        text, wish = reply.text_message, reply.order_proposal_message
        if reply.action_type == "text" and text is not None:
            self._say(conversation, TextMessage(text.content))
        elif reply.action_type == "order_proposal" and wish is not None:
            number = len(conversation.offers) + 1
            fields = msgspec.to_builtins(wish) | {"id": f"{self.business.id}_{conversation.customer_id}_{number}"}
            proposal = msgspec.convert(fields, OrderProposal)
            # Stored before it is sent: the payment may come before the sending returns.
            conversation.offers[proposal.id] = Offer(self.business.id, proposal)
            self._say(conversation, proposal)
        else:
            raise ValueError(f"the decision {reply.action_type!r} lacks its message")

    def _say(self, conversation: Conversation, message: Message) -> bool:
        conversation.lines.append(Line("business", message))
        return self._session.send(conversation.customer_id, message) is None
