"""``Client``: ``AsyncClient`` for programs without an event loop. No logic here: every method is the original's."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from trialbook.client.core import AsyncClient
from trialbook.client.erasures import Erasures
from trialbook.client.ledger import Ledger
from trialbook.client.portal import Blocking, Facade, Iterating, Portal
from trialbook.client.runs import Runs
from trialbook.client.stored import Files, Versioned
from trialbook.client.workspaces import Workspaces


class BlockingRuns(Facade):
    """See ``Runs``: the same methods, waited for; iterators are plain ones."""

    submit = Blocking(Runs.submit)
    get = Blocking(Runs.get)
    page = Blocking(Runs.page)
    iterate = Iterating(Runs.iterate)
    children = Iterating(Runs.children)
    wait = Blocking(Runs.wait)
    start = Blocking(Runs.start)
    cancel = Blocking(Runs.cancel)
    pause = Blocking(Runs.pause)
    resume = Blocking(Runs.resume)
    retry = Blocking(Runs.retry)
    replay = Blocking(Runs.replay)
    delete = Blocking(Runs.delete)
    facts = Blocking(Runs.facts)
    iterate_facts = Iterating(Runs.iterate_facts)
    logs = Blocking(Runs.logs)
    iterate_logs = Iterating(Runs.iterate_logs)
    follow = Iterating(Runs.follow)
    follow_logs = Iterating(Runs.follow_logs)
    metrics = Blocking(Runs.metrics)
    iterate_metrics = Iterating(Runs.iterate_metrics)
    rows = Blocking(Runs.rows)
    iterate_rows = Iterating(Runs.iterate_rows)
    steps = Blocking(Runs.steps)
    result = Blocking(Runs.result)
    artifacts = Blocking(Runs.artifacts)
    download = Blocking(Runs.download)
    read_artifact = Blocking(Runs.read_artifact)
    package = Blocking(Runs.package)


class BlockingFiles(Facade):
    """See ``Files``."""

    upload = Blocking(Files.upload)
    page = Blocking(Files.page)
    iterate = Iterating(Files.iterate)
    get = Blocking(Files.get)
    download = Blocking(Files.download)
    read = Blocking(Files.read)
    delete = Blocking(Files.delete)


class BlockingVersioned(Facade):
    """See ``Datasets`` and ``Models``."""

    create = Blocking(Versioned.create)
    add_version = Blocking(Versioned.add_version)
    add_version_of = Blocking(Versioned.add_version_of)
    page = Blocking(Versioned.page)
    iterate = Iterating(Versioned.iterate)
    get = Blocking(Versioned.get)
    versions = Blocking(Versioned.versions)
    download = Blocking(Versioned.download)
    delete = Blocking(Versioned.delete)


class BlockingWorkspaces(Facade):
    """See ``Workspaces``."""

    create = Blocking(Workspaces.create)
    list_all = Blocking(Workspaces.list_all)
    get = Blocking(Workspaces.get)
    delete = Blocking(Workspaces.delete)


class BlockingLedger(Facade):
    """See ``Ledger``."""

    facts = Blocking(Ledger.facts)
    position = Blocking(Ledger.position)
    iterate = Iterating(Ledger.iterate)
    lines = Iterating(Ledger.lines)
    diff = Blocking(Ledger.diff)
    trail = Blocking(Ledger.trail)
    trail_page = Blocking(Ledger.trail_page)
    follow = Iterating(Ledger.follow)


class BlockingErasures(Facade):
    """See ``Erasures``."""

    erase = Blocking(Erasures.erase)
    get = Blocking(Erasures.get)


class Client(Facade):
    """A gateway's API, blocking; arguments, environment and errors are those of ``AsyncClient``.

        with Client() as client:
            run = client.runs.submit("noop", {"echo": 3})
            for line in client.runs.follow_logs(run.id):
                print(line.message)

    It may be shared by threads. Inside a running event loop use ``AsyncClient``.
    """

    workloads = Blocking(AsyncClient.workloads)
    workload = Blocking(AsyncClient.workload)
    runners = Blocking(AsyncClient.runners)
    compare = Blocking(AsyncClient.compare)
    sql = Blocking(AsyncClient.sql)
    sql_bytes = Blocking(AsyncClient.sql_bytes)

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        workspace: str | None = None,
        data_subject: str = "",
        patience_s: float = 15.0,
    ) -> None:
        """See ``AsyncClient``."""
        original = AsyncClient(url, token=token, workspace=workspace, data_subject=data_subject, patience_s=patience_s)
        super().__init__(original, Portal())
        self.url = original.url
        self.runs = BlockingRuns(original.runs, self._portal)
        self.files = BlockingFiles(original.files, self._portal)
        self.datasets = BlockingVersioned(original.datasets, self._portal)
        self.models = BlockingVersioned(original.models, self._portal)
        self.workspaces = BlockingWorkspaces(original.workspaces, self._portal)
        self.ledger = BlockingLedger(original.ledger, self._portal)
        self.erasures = BlockingErasures(original.erasures, self._portal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; calling it again does nothing."""
        if not self._portal.closed:
            self._portal.call(self._original.close())
            self._portal.close()
