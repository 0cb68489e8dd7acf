"""The keys of data subjects in the stream KEYS, and those of them that this process has at hand.

Opening an event is synchronous, because folds are; so the keys of a batch are fetched before it is folded (``ensure``).
An erased key leaves a tombstone, which tells it from a lost one.
"""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook import subjects
from trialbook.envelope import Event
from trialbook.errors import Conflict, Unavailable
from trialbook.log.api import ApiError, call
from trialbook.log.shred import shred
from trialbook.streams import KEYS
from trialbook.vault.keys import KEY_BYTES, Lost, MasterKey, fresh
from trialbook.vault.personal import ADDING
from trialbook.vault.sealing import BOX, seal, unseal

AT_HAND = 16_384
TIMEOUT_S = 2.0
WRONG_LAST_SEQUENCE = 10071
NO_MESSAGE = 10037
MARK = b'"datakey":"'
_BOX = f'"{BOX}":'.encode()


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message of KEYS: a wrapped key, or the tombstone of one."""

    wrapped: str = ""
    erased_at: str = ""


class KeyRing:
    """Keys by id. Without a master key it opens nothing and refuses to seal. Use as an async context manager."""

    def __init__(self, nc: Client, master: MasterKey | None) -> None:
        self._nc, self._master = nc, master
        self._keys: OrderedDict[str, bytes | None] = OrderedDict()  # bounded by AT_HAND; None: erased
        self._missing: OrderedDict[str, None] = OrderedDict()  # bounded by AT_HAND; nobody has these
        self._subscription: Any = None

    async def start(self) -> None:
        """Hear of erasures, so that a key at hand is forgotten when it is destroyed."""
        self._subscription = await self._nc.subscribe(subjects.KEYS_ALL, cb=self._changed)

    async def close(self) -> None:
        """Forget everything."""
        if self._subscription is not None and self._nc.is_connected:
            await self._subscription.unsubscribe()
        self._keys.clear()
        self._missing.clear()

    @property
    def usable(self) -> bool:
        """Whether there is a master key."""
        return self._master is not None

    def id_of(self, workspace: str, data_subject: str) -> str:
        """The id of a data subject's key, whether it exists or not. Raises ``Unavailable`` without a master key."""
        return self._required().key_id(workspace, data_subject)

    async def create(self, key_id: str) -> None:
        """Make the key if there is none. Raises ``Conflict`` (code ``data_subject_erased``) after an erasure."""
        if await self._fetch(key_id) is not None:
            return
        if key_id in self._keys:
            raise Conflict("data_subject_erased", "This data subject was erased; what is new needs another identifier.")
        key = fresh(KEY_BYTES)
        wrapped = base64.b64encode(self._required().wrap(key_id, key)).decode()
        headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
        reply = await self._request(subjects.key(key_id), msgspec.json.encode(_Stored(wrapped=wrapped)), headers)
        answer = msgspec.json.decode(reply.data)
        error = answer.get("error")
        if error and error.get("err_code") != WRONG_LAST_SEQUENCE:
            raise Unavailable("ledger_refused", f"The key could not be stored: {error.get('description', '')}.")
        if error:  # another service was quicker: theirs holds
            await self._fetch(key_id)
        else:
            self._put(key_id, key)

    async def destroy(self, key_id: str, erased_at: str) -> None:
        """Put a tombstone in the key's place and overwrite the key. Can be repeated. Raises ``Unavailable``."""
        tombstone = msgspec.json.encode(_Stored(erased_at=erased_at))
        reply = await self._request(subjects.key(key_id), tombstone, None)
        answer = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise Unavailable("ledger_refused", f"The key could not be erased: {answer['error'].get('description')}.")
        await shred(self._nc, KEYS, subjects.key(key_id), keep_last=True)
        self._put(key_id, None)

    async def ensure(self, payloads: Iterable[bytes]) -> None:
        """Have the keys at hand that these stored events were sealed with. Raises ``Unavailable``."""
        wanted = {key_id for data in payloads if MARK in data and not self._knows(key_id := _key_id(data))}
        if wanted and self._master is not None:
            await asyncio.gather(*(self._fetch(key_id) for key_id in wanted))

    async def ensure_key(self, key_id: str) -> None:
        """Have one key at hand."""
        if key_id and not self._knows(key_id) and self._master is not None:
            await self._fetch(key_id)

    def _knows(self, key_id: str) -> bool:
        return key_id in self._keys or key_id in self._missing

    def open(self, event: Event) -> Event:
        """The event with its personal members; with placeholders when its key was erased.

        Raises ``Lost`` when the key is not at hand for another reason, or does not fit.
        """
        if not event.datakey or _BOX not in bytes(event.data):
            return event
        if event.datakey not in self._keys:
            raise Lost(f"the data key {event.datakey} is neither stored nor erased, or there is no master key")
        key = self._keys[event.datakey]
        if key is None:
            return event
        self._keys.move_to_end(event.datakey)
        return unseal(event, key)

    def shown(self, event: Event) -> Event:
        """Like ``open``, with placeholders also when nobody has the key, or this service no master key.

        What is shown may be decided upon: whatever follows is refused by ``sealed``.
        """
        return event if not self.usable or event.datakey in self._missing else self.open(event)

    async def sealed(self, event: Event) -> Event:
        """The event as it is to be stored. Raises ``Unavailable`` without its key.

        After an erasure nothing new is taken (``Conflict``), but what there is can go on to its end: what is personal
        in such a fact is sealed with a key that nobody keeps.
        """
        if not event.datakey:
            return event
        key = await self._fetch(event.datakey)
        if key is None:
            if event.datakey in self._keys:
                if event.type not in ADDING:
                    return seal(event, fresh(KEY_BYTES))
                raise Conflict("data_subject_erased", "The data subject of this was erased; nothing is added to it.")
            raise Unavailable("data_key_missing", "The key of this data subject cannot be found; nothing was stored.")
        return seal(event, key)

    async def _fetch(self, key_id: str) -> bytes | None:
        """The key; None when it was erased (then it is known as such) or never made."""
        if key_id in self._keys:
            return self._keys[key_id]
        master = self._required()
        stored = await self._stored(key_id)
        if stored is None:
            _remember(self._missing, key_id, None)
            return None
        try:
            key = None if stored.erased_at else master.unwrap(key_id, base64.b64decode(stored.wrapped))
        except Lost as error:
            raise Unavailable("master_key_differs", f"Personal data cannot be opened: {error}.") from error
        self._put(key_id, key)
        return key

    async def _stored(self, key_id: str) -> _Stored | None:
        subject = subjects.key(key_id)
        message = await self._request(subjects.direct_last(KEYS, subject), b"", None)
        if (message.headers or {}).get("Status") != "404":
            return msgspec.json.decode(message.data, type=_Stored)
        try:  # a replica may not have it yet; the leader knows
            found = await call(self._nc, f"STREAM.MSG.GET.{KEYS}", {"last_by_subj": subject})
        except ApiError as error:
            if error.code != NO_MESSAGE:
                raise Unavailable("ledger_refused", f"The store of keys refused: {error}.") from error
            return None
        return msgspec.json.decode(base64.b64decode(found["message"]["data"]), type=_Stored)

    async def _request(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> Msg:
        try:
            return await self._nc.request(subject, payload, timeout=TIMEOUT_S, headers=headers)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable("ledger_unavailable", "The store of keys does not answer; try again.") from error

    def _put(self, key_id: str, key: bytes | None) -> None:
        _remember(self._keys, key_id, key)
        self._missing.pop(key_id, None)

    def _required(self) -> MasterKey:
        if self._master is None:
            raise Unavailable(
                "vault_not_configured",
                "Personal data needs a master key: set TRIALBOOK_MASTER_KEY or TRIALBOOK_MASTER_KEY_FILE everywhere.",
            )
        return self._master

    async def _changed(self, message: Msg) -> None:
        """A key was stored or destroyed: fetch it anew when it is needed."""
        key_id = message.subject.rsplit(".", 1)[-1]
        self._keys.pop(key_id, None)
        self._missing.pop(key_id, None)


def _remember(known: OrderedDict[str, Any], key_id: str, value: bytes | None) -> None:
    known[key_id] = value
    if len(known) > AT_HAND:
        known.popitem(last=False)


def _key_id(data: bytes) -> str:
    start = data.index(MARK) + len(MARK)
    return data[start : start + KEY_BYTES].decode("ascii", "replace")
