"""One run from registration to the last confirmed payment (facts, section 4)."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from trialbook.clock import Clock
from trialbook.ids import IdSource
from trialbook_marketplace import rnr
from trialbook_marketplace.agents.business import BusinessAgent
from trialbook_marketplace.agents.customer import CustomerAgent
from trialbook_marketplace.agents.limits import Control, RunCancelled
from trialbook_marketplace.agents.policy import CustomerView, KeepsCallLog, Policies
from trialbook_marketplace.agents.rule_based import rule_based
from trialbook_marketplace.agents.session import Session
from trialbook_marketplace.agents.wakeups import Wakeups
from trialbook_marketplace.config import ExperimentConfig, check_config
from trialbook_marketplace.models import Business, Customer, Dataset
from trialbook_marketplace.protocol.market import Market
from trialbook_marketplace.rows import Sink


class Outcome(Struct, frozen=True):
    """How a run ended: ``status`` is ``completed`` or ``failed`` (then with ``error``), and what it recorded."""

    status: str
    error: str | None
    agents: int
    actions: int
    logs: int
    customers_finished: int


class Unattended:
    """A control that never interferes; it only lets the event loop breathe between steps."""

    def cancelled(self) -> bool:
        """Never."""
        return False

    async def checkpoint(self) -> None:
        """Yield once."""
        await asyncio.sleep(0)

    def progress(self, finished: int, total: int) -> None:
        """Nobody is told."""


async def run_experiment(
    config: ExperimentConfig,
    dataset: Dataset,
    sink: Sink,
    clock: Clock,
    ids: IdSource,
    control: Control,
    policies: Policies | None = None,
    search_models: rnr.Models | None = None,
) -> Outcome:
    """Execute a run on ``dataset``; every row goes to ``sink`` as it is committed.

    ``policies`` default to the rule-based ones of the configuration; ``search_models`` are those of the search ``rnr``,
    which without them loads the documented ones. Raises ``Invalid`` for an impossible
    configuration before anything is recorded, ``SinkFailed`` when a row could not be recorded, and the ``RunStopped``
    of a policy. Cancelling the task ends all agents at once.
    """
    check_config(config)
    if search_models is None and config.search_algorithm == "rnr":
        search_models = await asyncio.to_thread(rnr.load, rnr.ModelNames())
    return await _Run(config, dataset, sink, clock, ids, control, policies, search_models).execute()


class _Run:
    """The parts of one run, wired."""

    def __init__(
        self,
        config: ExperimentConfig,
        dataset: Dataset,
        sink: Sink,
        clock: Clock,
        ids: IdSource,
        control: Control,
        policies: Policies | None,
        search_models: rnr.Models | None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.clock = clock
        self.control = control
        self.policies = policies or rule_based(config, dataset)
        customers, businesses = ([party.id for party in side] for side in (dataset.customers, dataset.businesses))
        self.wakeups = Wakeups(customers, businesses, lockstep=self.policies.lockstep)
        self.market = Market(sink, clock, ids, self.wakeups.delivered, search_models)
        if isinstance(self.policies, KeepsCallLog):
            self.policies.attach(self.market.log)
        self.finished = 0

    async def execute(self) -> Outcome:
        self._register()
        customers = [self._customer(customer) for customer in self.dataset.customers]
        businesses = [self._business(business) for business in self.dataset.businesses]
        try:
            async with asyncio.TaskGroup() as group:
                for customer in customers:
                    group.create_task(self._until_finished(customer))
                for business in businesses:
                    group.create_task(business.run())
        except BaseExceptionGroup as errors:
            first = _first(errors)
            if not isinstance(first, RunCancelled):
                raise first from None
            return self._outcome("Cancelled")
        return self._outcome(self.policies.failure())

    def _register(self) -> None:
        customers, businesses = self.dataset.customers, self.dataset.businesses
        counts = {"businesses": len(businesses), "customers": len(customers)}
        data = {"experiment_name": self.config.experiment_name, "dataset": self.dataset.name, **counts}
        self.market.log("info", "Marketplace experiment started", data)
        for customer in customers:
            self.market.register(customer)
        for business in businesses:
            self.market.register(business)
        for customer in customers:
            self.market.log("info", "Customer agent registered", {"customer_id": customer.id}, customer.id)
        for business in businesses:
            self.market.log("info", "Business agent registered", {"business_id": business.id}, business.id)

    def _customer(self, customer: Customer) -> CustomerAgent:
        return CustomerAgent(
            Session(customer.id, self.market, self.wakeups, self.clock),
            CustomerView(customer, self.config.customer_max_steps),
            self.policies.customer(customer),
            self.control,
            (self.config.search_algorithm, self.config.search_bandwidth),
            self.config.limits,
        )

    def _business(self, business: Business) -> BusinessAgent:
        session = Session(business.id, self.market, self.wakeups, self.clock)
        policy = self.policies.business(business)
        return BusinessAgent(session, business, policy, self.control, self.config.limits)

    async def _until_finished(self, agent: CustomerAgent) -> None:
        await agent.run()
        self.finished += 1
        self.control.progress(self.finished, len(self.dataset.customers))

    def _outcome(self, error: str | None) -> Outcome:
        return Outcome(
            status="failed" if error else "completed",
            error=error,
            agents=self.market.agents_count,
            actions=self.market.actions_count,
            logs=self.market.logs_count,
            customers_finished=self.finished,
        )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure in a group, also of a group within it."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
