"""What a model costs: a dated table of public prices. A model that is not in it has no cost, never a guessed one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import msgspec

from trialbook.errors import Invalid
from trialbook.llm.usage import Usage

_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest|preview-\d{2}-\d{2}|\d{3})$")
MILLION = 1_000_000


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars per million tokens, as the provider itself published them at ``source``, not before the day ``as_of``.

    ``up_to_input_tokens``: the price holds for prompts of at most that length.
    """

    provider: str
    model: str
    input: float
    output: float
    cached_input: float | None = None
    up_to_input_tokens: int | None = None
    as_of: str
    source: str


class Prices:
    """A price table. Own prices also count for servers at other addresses; published ones do not."""

    def __init__(self, published: Iterable[Price], own: Iterable[Price] = ()) -> None:
        self._published = {(price.provider, price.model): price for price in published}
        self._own = {(price.provider, price.model): price for price in own}

    def find(self, provider: str, model: str, *, own_address: bool = False) -> Price | None:
        """The price of a model or of the model it is a dated snapshot of; ``own_address``: not the provider's own."""
        for name in dict.fromkeys((model, _SNAPSHOT.sub("", model))):
            price = self._own.get((provider, name))
            if price is None and not own_address:
                price = self._published.get((provider, name))
            if price is not None:
                return price
        return None


def cost_usd(price: Price | None, usage: Usage) -> float | None:
    """The cost of one call, None when it is not known."""
    if price is None:
        return None
    if price.up_to_input_tokens is not None and usage.input_tokens > price.up_to_input_tokens:
        return None
    if usage.cached_tokens and price.cached_input is None:
        return None
    fresh = usage.input_tokens - usage.cached_tokens
    cached = usage.cached_tokens * (price.cached_input or 0.0)
    return (fresh * price.input + cached + usage.output_tokens * price.output) / MILLION


def load_prices(own_file: str | None = None) -> Prices:
    """The shipped table and, before it, the prices of a file of the same form. Raises ``Invalid``."""
    published = files("trialbook_runner.llm").joinpath("prices.json").read_bytes()
    decode = msgspec.json.Decoder(list[Price]).decode
    if own_file is None:
        return Prices(decode(published))
    try:
        return Prices(decode(published), decode(Path(own_file).read_bytes()))
    except (OSError, msgspec.MsgspecError) as error:
        raise Invalid("invalid_prices", f"TRIALBOOK_LLM_PRICES: {error}") from error
