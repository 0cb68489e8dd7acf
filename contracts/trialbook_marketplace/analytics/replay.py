"""A run's history as it was after any of its actions."""

from __future__ import annotations

from trialbook.errors import Invalid
from trialbook_marketplace.rows import History


def history_after(history: History, action: int) -> History:
    """The agents, the first ``action`` actions, and the logs written up to the last of these; 0: before any action.

    Agents are registered before the first action, so they are all there. Raises ``Invalid``
    (``action_out_of_range``) unless ``action`` is 0 to the number of actions.
    """
    recorded = len(history.actions)
    if not 0 <= action <= recorded:
        text = f"after_action must be 0 to {recorded}, the number of actions recorded; {str(action)[:40]} is outside"
        raise Invalid("action_out_of_range", text)
    actions = history.actions[:action]
    if not actions:
        return History(history.agents)
    until = actions[-1]["created_at"]  # of fixed width, so that text order is time order
    return History(history.agents, actions, [row for row in history.logs if row["created_at"] <= until])
