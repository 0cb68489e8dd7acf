"""What happened in a run, computed from its rows; works on the history of a run still going on."""

from trialbook_marketplace.analytics.summary import analyse
from trialbook_marketplace.analytics.threads import threads

__all__ = ["analyse", "threads"]
