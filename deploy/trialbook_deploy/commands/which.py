"""Which run is meant: an id, a unique part of one, a name, or `last`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trialbook.errors import Invalid, NotFound
from trialbook.ids import ID

if TYPE_CHECKING:
    from trialbook.client import AsyncClient

LAST = "last"
CANDIDATES = 20
HELP = "A run: its id, a unique part of it, its name (of several, the one that took it over), or `last` for the newest."


async def run_id(client: AsyncClient, text: str) -> str:
    """The id of the run that `text` means. Raises `NotFound`, or `Invalid` when several are meant."""
    plain = text.replace("-", "").lower()
    if ID.fullmatch(plain):
        return plain
    if text == LAST:
        newest = await client.runs.page(limit=1, brief=True)
        if not newest.items:
            raise NotFound("no_runs", "There are no runs yet. Submit one: trialbook run noop")
        return newest.items[0].id
    found = (await client.runs.page(search=text, limit=CANDIDATES, brief=True)).items
    # Newest first: a name is taken over only by a later run.
    named = [run for run in found if run.name == text][:1]
    meant = named or [run for run in found if plain in run.id]
    if len(meant) == 1:
        return meant[0].id
    if not meant:
        raise NotFound("run_not_found", f"No run has the id or name {text!r}. `trialbook runs` lists them.")
    ids = ", ".join(run.id for run in meant[:5])
    raise Invalid("ambiguous_run", f"{text!r} is a part of several ids ({ids} ...). Give more of it.")
