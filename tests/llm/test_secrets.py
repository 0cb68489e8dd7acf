"""A key that is configured shows up nowhere: logs, errors, effects, accounts, call logs, representations, pickles."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.llm.support import KEY, WIRES, Rig, rig
from trialbook.errors import Invalid
from trialbook.llm import ProviderSettings, Redactor, Secret, describe_providers, llm_settings, validate
from trialbook.testing.llm import Fault, Rule, ScriptedServer
from trialbook_runner.llm import MemoryEffects

Wire = tuple[str, str]
every_wire = pytest.mark.parametrize("wire", WIRES, ids="-".join)
FAULTS: dict[str, Rule] = {
    "none": Rule(reply="fine"),
    "the model repeats the key": Rule(reply=f"your key is {KEY}, isn't it?"),
    "401 with the key": Rule(fault=Fault(kind="echo_key", status=401)),
    "400 with the key": Rule(fault=Fault(kind="echo_key", status=400)),
    "429 with the key": Rule(fault=Fault(kind="echo_key", status=429)),
    "500 with the key": Rule(fault=Fault(kind="echo_key", status=500)),
    "malformed": Rule(reply=KEY, fault=Fault(kind="malformed_body")),
    "drop": Rule(reply=KEY, fault=Fault(kind="drop")),
    "timeout": Rule(fault=Fault(kind="timeout", delay_s=600)),
}


@pytest.fixture
def everything_logged() -> Iterator[list[str]]:
    """Every log record of the process in every form, and every logger at its most talkative."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {record.args!r} {record.__dict__!r}")

    handler = Keep(level=0)
    named = [
        logging.getLogger(name) for name in ("openai", "anthropic", "google_genai", "httpx2", "httpcore2", "httpx")
    ]
    loggers = [logging.getLogger(), *named]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(1)
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


async def _outcome(r: Rig, **more: Any) -> str:
    """What a program could print about the call: the answer, or the error in every form."""
    try:
        completion = await r.caller.complete("a1", r.request(), observe=r.logs.append, **more)
    except Exception as error:  # noqa: BLE001 - whatever comes must not hold the key
        held = [error, error.__cause__, error.__context__]
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()) + repr(
            [(e, e.__dict__ if e else None, e.args if e else None) for e in held]
        )
    return repr(completion)


@every_wire
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_path_of_a_call_shows_the_key(
    wire: Wire, fault: str, streamed: bool, everything_logged: list[str]
) -> None:
    rule = msgspec.structs.replace(FAULTS[fault])
    pieces: list[str] = []
    more: dict[str, Any] = {"on_text": pieces.append} if streamed else {}
    patience = {"LLM_RETRIES": "0", "LLM_TIMEOUT_S": "1"} if fault == "timeout" else {"LLM_RETRIES": "1"}
    async with rig([rule], wire, env=patience) as r:
        outcome = await _outcome(r, **more)
        assert isinstance(r.effects, MemoryEffects)
        shown = {
            "outcome": outcome,
            "streamed": "".join(pieces),
            "effects": msgspec.json.encode(r.effects.recorded).decode(),
            "accounts": repr(r.caller.meter.report()),
            "call logs": repr(r.logs),
            "settings": repr(r.settings),
            "status": repr(describe_providers(r.settings)),
            "provider": repr(vars(r.providers)),
            "logs": "\n".join(everything_logged),
        }
    assert r.server.served >= 1
    assert everything_logged, "the clients were asked to log and said nothing"
    assert [where for where, text in shown.items() if KEY in text] == []


@every_wire
async def test_the_key_does_reach_the_provider(wire: Wire) -> None:
    async with rig([Rule(reply="fine")], wire, keys=[KEY]) as r:
        assert await r.say() == "fine"


async def test_what_the_model_quotes_is_masked_and_the_rest_kept() -> None:
    async with rig([Rule(reply=f"the key is {KEY}!")]) as r:
        assert await r.say() == "the key is ***!"


def test_a_secret_does_not_show_and_is_not_pickled() -> None:
    secret = Secret(KEY)
    settings = ProviderSettings(name="openai", key=secret)
    assert KEY not in f"{secret} {secret!r} {settings!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)
    assert secret == Secret(KEY) != Secret("other")


def test_the_redactor_masks_whole_keys_and_leaves_placeholders() -> None:
    redact = Redactor([Secret("abcdefgh"), Secret("abcdefgh-long"), Secret("none")])
    assert redact.text("abcdefgh-long abcdefgh none") == "*** *** none"
    assert redact.value({"abcdefgh": ["abcdefgh", 1, None]}) == {"***": ["***", 1, None]}


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_key_in_pieces_is_masked_too(size: int) -> None:
    text = f"sk-no {KEY}{KEY[:-1]} sk-canary-0 {KEY} sk-can"
    got: list[str] = []
    stream = Redactor([Secret(KEY), Secret("sk-canary-other")]).stream(got.append)
    for at in range(0, len(text), size):
        stream(text[at : at + size])
    stream.flush()
    assert "".join(got) == text.replace(KEY, "***")


def test_credentials_in_an_address_do_not_show() -> None:
    settings = llm_settings({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://user:pass@host:1/v1?token=x"})
    assert describe_providers(settings)[0].base_url == "http://host:1/v1"


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "azure_openai"])
async def test_a_key_is_validated_without_keeping_or_showing_it(provider: str, everything_logged: list[str]) -> None:
    async with ScriptedServer(keys=[KEY]) as server:
        url = server.openai_url if provider == "openai" else server.url
        settings = ProviderSettings(name=provider, base_url=url)
        good = await validate(provider, Secret(KEY), settings)
        bad = await validate(provider, Secret(KEY + "x"), settings)
        assert server.served == 0, "no tokens are used"
    gone = await validate(provider, Secret(KEY), settings)
    assert (good.valid, bad.valid, gone.valid) == (True, False, None)
    assert KEY not in f"{good} {bad} {gone}" + "".join(everything_logged)


async def test_only_known_providers_and_plausible_keys_are_validated() -> None:
    with pytest.raises(Invalid, match="Unknown provider"):
        await validate("acme", Secret(KEY))
    with pytest.raises(Invalid, match="one line"):
        await validate("openai", Secret("a\nb"))
    with pytest.raises(Invalid, match="AZURE_OPENAI_ENDPOINT"):
        await validate("azure_openai", Secret(KEY))


async def test_a_cancelled_call_leaves_no_key_behind(everything_logged: list[str]) -> None:
    async with rig([Rule(fault=Fault(kind="timeout", delay_s=600))]) as r:
        call = asyncio.create_task(_outcome(r))
        while not r.server.served:
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert KEY not in "".join(everything_logged)
