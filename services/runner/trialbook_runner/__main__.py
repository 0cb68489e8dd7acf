"""``python -m trialbook_runner``: settings from the environment, fork server first, then the event loop."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial

from trialbook.errors import Refusal
from trialbook.llm.settings import PRICES_IN_WORKLOADS
from trialbook_runner.execute.child import child_main
from trialbook_runner.execute.environment import hide_initial, without_threads
from trialbook_runner.execute.linux import adopt_orphans
from trialbook_runner.execute.zygote import start_zygote
from trialbook_runner.registry import load_registry
from trialbook_runner.settings import settings_from


def main() -> int:
    """Run a runner; returns the exit code (78, ``EX_CONFIG``: wrong settings, no start will help; 2: no server)."""
    try:
        settings = settings_from(os.environ)
    except Refusal as refusal:
        sys.stderr.write(f"trialbook runner: {refusal.detail}\n")
        return os.EX_CONFIG
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if not logging.getLogger().isEnabledFor(logging.DEBUG):  # a line for every model call otherwise
        for wire in ("httpx", "httpx2"):
            logging.getLogger(wire).setLevel(logging.WARNING)
    hide_initial()
    if prices := os.environ.get("TRIALBOOK_LLM_PRICES"):
        os.environ[PRICES_IN_WORKLOADS] = prices
    with without_threads():
        registry = load_registry()
    adopt_orphans()  # what workloads leave when the fork server is killed
    zygote = start_zygote(partial(child_main, registry.workloads))
    import uvloop  # after the fork: it needs nothing of this

    from trialbook_runner.app import run_app

    try:
        return uvloop.run(run_app(settings, registry, zygote))
    except Refusal as refusal:
        sys.stderr.write(f"trialbook runner: {refusal.detail}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
