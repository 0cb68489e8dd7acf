"""Streams as data, and the one function that creates or updates them."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook import subjects

FACTS, SIGNALS, PRESENCE, BLOBS, KEYS = "FACTS", "SIGNALS", "PRESENCE", "BLOBS", "KEYS"
CHECKPOINTS = "CHECKPOINTS"
NANO = 1_000_000_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment may choose. Ages in seconds, sizes in bytes."""

    replicas: int = 1
    signals_max_age_s: int = 90 * 24 * 3600
    signals_max_bytes: int = 16 * 1024**3
    duplicate_window_s: int = 120


def definitions(limits: Limits) -> dict[str, dict[str, Any]]:
    """Name -> stream configuration as the JetStream API takes it."""
    common = {"storage": "file", "num_replicas": limits.replicas, "allow_direct": True, "discard": "old"}
    window = limits.duplicate_window_s * NANO
    return {
        FACTS: {
            **common,
            "subjects": [subjects.FACTS_ALL],
            "deny_delete": True,
            "deny_purge": False,  # for what has been sealed: see trialbook.log.purging
            "allow_atomic": True,
            "duplicate_window": window,
            "republish": {"src": subjects.FACTS_ALL, "dest": subjects.tap(subjects.FACTS_ALL)},
        },
        SIGNALS: {
            **common,
            "subjects": [subjects.SIGNALS_ALL],
            "max_age": limits.signals_max_age_s * NANO,
            "max_bytes": limits.signals_max_bytes,
            "duplicate_window": window,
            "republish": {"src": subjects.SIGNALS_ALL, "dest": subjects.tap(subjects.SIGNALS_ALL)},
        },
        CHECKPOINTS: {
            **common,
            "subjects": [subjects.CHECKPOINTS_ALL],
            "deny_delete": True,
            "deny_purge": True,
            "duplicate_window": window,
            "republish": {"src": subjects.CHECKPOINTS_ALL, "dest": subjects.tap(subjects.CHECKPOINTS_ALL)},
        },
        # The key of a data subject, or its tombstone: single messages can be deleted, and are overwritten then.
        KEYS: {**common, "subjects": [subjects.KEYS_ALL], "max_msgs_per_subject": 2, "duplicate_window": window},
        PRESENCE: {**common, "subjects": [subjects.PRESENCE_ALL], "max_msgs_per_subject": 1},
        BLOBS: {
            **common,
            "subjects": [subjects.BLOBS_ALL],
            "deny_purge": False,
            "allow_msg_ttl": True,  # for parts of uploads that are never finished
            "duplicate_window": window,
        },
    }


def filtered(stream: str, filters: list[str]) -> dict[str, list[str]]:
    """The part of a consumer's configuration that says what it is given: nothing when that is the whole stream.

    Without a filter the server neither counts matching subjects, which takes it seconds when there are ten million,
    nor compares each message with one.
    """
    whole = definitions(Limits()).get(stream, {}).get("subjects")
    return {} if filters == whole else {"filter_subjects": filters}
