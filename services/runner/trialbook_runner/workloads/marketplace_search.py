"""The models of the search by meaning, for one experiment."""

from __future__ import annotations

import asyncio
import os

import msgspec

from trialbook import Context
from trialbook_marketplace import rnr
from trialbook_marketplace.config import ExperimentConfig, check_config

SETTLED = "settings/rnr"
QUIET = "HF_HUB_DISABLE_PROGRESS_BARS"
"""Read when the packages are imported: their progress bars would be lines of the experiment's log."""


async def search_models(ctx: Context, config: ExperimentConfig) -> rnr.Models | None:
    """The loaded models of an experiment that searches by meaning, else None. Raises ``Refusal``.

    Their names are settled by the first attempt: another model would give another experiment.
    """
    if config.search_algorithm != "rnr":
        return None
    check_config(config)

    async def chosen() -> rnr.ModelNames:
        return rnr.model_names(os.environ)

    os.environ.setdefault(QUIET, "1")
    names = msgspec.convert(await ctx.effect(SETTLED, {}, chosen), rnr.ModelNames)
    return await asyncio.to_thread(rnr.load, names)
