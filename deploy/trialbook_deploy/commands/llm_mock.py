"""`trialbook llm-mock`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trialbook.testing.llm import Rule, ScriptedServer


def llm_mock(
    rules: Annotated[
        Path | None, typer.Option(help="JSON file: a list of objects with match, reply, fault, times and delay_s.")
    ] = None,
    marketplace: Annotated[
        str | None,
        typer.Option(help="Play the marketplace by this customer policy: cheapest_with_amenities, cheapest or random."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random policy.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
) -> None:
    """Serve scripted answers as OpenAI, Azure OpenAI, Anthropic and Gemini would, until Ctrl-C.

    Rules of the file come first, then those of the marketplace.
    """
    from trialbook.errors import Refusal
    from trialbook_deploy.errors import DeployError

    try:
        chosen = _rules(rules, marketplace, seed)
        asyncio.run(_serve(chosen, host, port))
    except Refusal as refusal:
        raise DeployError(refusal.detail) from refusal
    except OSError as error:
        raise DeployError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _rules(file: Path | None, policy: str | None, seed: int) -> list[Rule]:
    from trialbook.errors import Invalid
    from trialbook.testing.llm import load_rules

    if file is None and policy is None:
        raise Invalid("no_rules", "Give --rules FILE or --marketplace POLICY.")
    chosen = [] if file is None else load_rules(file)
    if policy is not None:
        from trialbook_marketplace.llm.script import marketplace_rules

        chosen += marketplace_rules(policy, seed)
    return chosen


async def _serve(rules: list[Rule], host: str, port: int) -> None:
    from trialbook.testing.llm import ScriptedServer

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with ScriptedServer(rules, host=host, port=port) as server:
        _introduce(server)
        await stop.wait()
        typer.echo(f"{server.served} requests were answered.")


def _introduce(server: ScriptedServer) -> None:
    typer.echo(f"Listening on {server.url}. To use it, for example:")
    for name, value in server.environment().items():
        typer.echo(f"  export {name}={value}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("llm-mock")(llm_mock)
