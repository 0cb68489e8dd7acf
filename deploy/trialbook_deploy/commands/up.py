"""`trialbook up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LOG_LEVELS = ("debug", "info", "warning", "error")


def up(
    host: Annotated[str, typer.Option(envvar="TRIALBOOK_HOST", help="Address the gateway listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="TRIALBOOK_PORT", min=0, max=65535, help="Its port; 0 takes a free one.")
    ] = 8000,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="TRIALBOOK_DATA_DIR", help="Everything is kept here.", show_default="~/.local/share/trialbook"
        ),
    ] = None,
    nats_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the embedded nats-server; 0 takes a free one.")
    ] = 0,
    nats_url: Annotated[
        str | None,
        typer.Option(
            envvar="TRIALBOOK_NATS_URL",
            help="Use this server or cluster (comma separated) instead of the embedded one.",
        ),
    ] = None,
    runners: Annotated[int, typer.Option(min=0, max=64, help="How many runner processes.")] = 1,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Run a bundled experiment and show its result.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a --host that others reach without API tokens.")
    ] = False,
    ready_timeout: Annotated[float, typer.Option(min=1, help="Give up when not ready after this many seconds.")] = 60.0,
    log_level: Annotated[
        str, typer.Option(envvar="TRIALBOOK_LOG_LEVEL", help=f"Of all services: {', '.join(LOG_LEVELS)}.")
    ] = "info",
) -> None:
    """Start everything on this machine: NATS, projector, runners and gateway, supervised until Ctrl-C.

    The data directory keeps the ledger, so a later start goes on where this one ended, also after a power cut.
    """
    if log_level.lower() not in LOG_LEVELS:
        raise typer.BadParameter(f"{log_level!r} is none of {', '.join(LOG_LEVELS)}.", param_hint="'--log-level'")
    from trialbook_deploy.state import default_data_dir
    from trialbook_deploy.up import UpOptions, run

    run(
        UpOptions(
            data_dir=data_dir or default_data_dir(),
            host=host,
            port=port,
            nats_port=nats_port,
            nats_url=nats_url or None,
            runners=runners,
            demo=demo,
            insecure=insecure,
            ready_timeout_seconds=ready_timeout,
            log_level=log_level.lower(),
        )
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)
