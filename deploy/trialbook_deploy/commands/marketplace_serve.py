"""`trialbook marketplace ui` and `api`: the original's two servers, which are the stack's gateway here."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from trialbook_deploy.commands.options import DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook_deploy.commands.marketplace_http import Market

UI = """Show an experiment live in a browser.

The page is the gateway's. Its address is printed, and http://127.0.0.1:PORT leads to it until Ctrl-C, as the original's
viewer was reached there; --print-only prints the address and ends.
"""
API = """Serve the API: start the stack (NATS, projector, a runner and the gateway) and stay until Ctrl-C.

This is `trialbook up` under the original's name and defaults. Where a stack already runs on the data directory, its
address is printed instead. Listening on an address that other machines reach needs API tokens, or --insecure.

\b
Examples:
  trialbook marketplace api --api-host 127.0.0.1
  TRIALBOOK_API_TOKENS=... trialbook marketplace api
"""
LOOPBACK = "127.0.0.1"


def ui(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The experiment's name.")],
    port: Annotated[int, typer.Option("--port", "--ui-port", min=0, max=65535, help="0 takes a free one.")] = 5000,
    print_only: Annotated[bool, typer.Option("--print-only", help="Print the address and end.")] = False,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Show an experiment in a browser."""
    from trialbook_deploy.commands.marketplace_http import with_market

    addresses: list[str] = []

    async def work(market: Market) -> int:
        await market.status(name)
        room = f"?workspace={quote(workspace)}" if workspace else ""
        addresses.append(f"{market.url}/marketplace/api/experiments/{quote(name, safe='')}/dashboard{room}")
        return 0

    try:
        with_market(url, data_dir, workspace, work)
    except typer.Exit as end:
        if end.exit_code or not addresses:
            raise
    typer.echo(addresses[0])
    if not print_only:
        _lead_to(addresses[0], port)


def _lead_to(address: str, port: int) -> None:
    """Serve redirections on this machine until Ctrl-C."""
    from trialbook_deploy.errors import DeployError

    class Redirect(BaseHTTPRequestHandler):
        """Answers everything with the way to the page."""

        def do_GET(self) -> None:
            """Redirect."""
            self.send_response(302)
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
            """Nothing: the address is all there is to say."""

    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Redirect)
    except OSError as error:
        raise DeployError(
            f"Port {port} cannot be used ({error.strerror}); give another --port, or --print-only."
        ) from error
    with server:
        typer.echo(f"http://{LOOPBACK}:{server.server_port} leads there; Ctrl-C ends this")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def api(
    api_host: Annotated[str, typer.Option("--api-host", help="Address the gateway listens on.")] = "0.0.0.0",  # noqa: S104 -- the original's; refused without tokens
    api_port: Annotated[int, typer.Option("--api-port", min=0, max=65535, help="Its port; 0 takes a free one.")] = 8000,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow others to reach it without API tokens.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Serve the API."""
    from trialbook_deploy.commands.kit import choose
    from trialbook_deploy.commands.up import LOG_LEVELS
    from trialbook_deploy.state import default_data_dir, read_state
    from trialbook_deploy.up import UpOptions, run

    choose(log_level.lower(), LOG_LEVELS, "--log-level")
    directory: Path = (data_dir or default_data_dir()).expanduser().absolute()
    running = read_state(directory)
    if running is not None:
        typer.echo(f"The API is served at {running.url} by the stack that runs on {directory}.")
        return
    run(UpOptions(data_dir=directory, host=api_host, port=api_port, insecure=insecure, log_level=log_level.lower()))


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command(name="ui", help=teach(UI))(ui)
    group.command(name="api", help=teach(API))(api)
