"""What happened in a run, computed from its rows; works on the history of a run still going on."""

from trialbook_marketplace.analytics.audit import audit
from trialbook_marketplace.analytics.biases import biases
from trialbook_marketplace.analytics.replay import history_after
from trialbook_marketplace.analytics.summary import analyse
from trialbook_marketplace.analytics.threads import threads
from trialbook_marketplace.analytics.traces import traces

__all__ = ["analyse", "audit", "biases", "history_after", "threads", "traces"]
