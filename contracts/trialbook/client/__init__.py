"""Python SDK of the HTTP API: ``AsyncClient``, and ``Client`` for programs without an event loop.

from trialbook import Client

with Client() as client:                     # TRIALBOOK_URL, TRIALBOOK_TOKEN
    run = client.runs.submit("noop")
    print(client.runs.wait(run.id).status)
"""

from trialbook.client.blocking import Client
from trialbook.client.core import AsyncClient
from trialbook.client.following import Following, ProgressView, StatusView
from trialbook.client.results import ArtifactView, Comparison, Fact, Results, WorkspaceView
from trialbook.views import ErasureView, WorkloadView

__all__ = [
    "ArtifactView",
    "AsyncClient",
    "Client",
    "Comparison",
    "ErasureView",
    "Fact",
    "Following",
    "ProgressView",
    "Results",
    "StatusView",
    "WorkloadView",
    "WorkspaceView",
]
