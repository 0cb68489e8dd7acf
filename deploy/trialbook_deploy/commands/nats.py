"""`trialbook nats user add|list|rotate|remove`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, NatsUrl, teach
from trialbook_deploy.errors import DeployError

if TYPE_CHECKING:
    from trialbook.log.consumers import Consumers
    from trialbook.outside import Outsider
    from trialbook_deploy.nats_users import Users
    from trialbook_deploy.state import UpState

HELP = """Users of NATS from outside: they hear the facts and signals of one workspace, ask, and command."""
ADD = """Make a user of one workspace, and print the seed of its key.

The seed is the user's secret. It is shown once, or written to a file for you alone; only the public key is kept. The
server of `trialbook up` takes the user up at once; for another one name the directory of its configuration. The
workspace must exist, unless you say that it comes later; without a server that can be asked (none runs, and --nats-url
names none) that is not checked.

\b
Examples:
  trialbook nats user add alice --workspace main --out alice.nk
  trialbook nats user add audit --workspace main --read-only --catch-up --out audit.nk
  trialbook nats user add carol --workspace next-year --allow-missing --out carol.nk
  trialbook nats user add alice --workspace main --config-dir /etc/nats --nats-url nats://trialbook:...@nats:4222
"""
Name = Annotated[str, typer.Argument(help="Lower case, digits, - and _; unique.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the seed to this new file.", show_default="print it")
]
ConfigDir = Annotated[
    Path | None,
    typer.Option(
        "--config-dir", help="Directory of the configuration of a server of yours.", show_default="that of --data-dir"
    ),
]


def add(
    name: Name,
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="Which one.", envvar="TRIALBOOK_WORKSPACE")],
    read_only: Annotated[bool, typer.Option("--read-only", help="No commands but those on its consumers.")] = False,
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="Make its consumers `main` of facts and signals as well.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="The workspace may be one that does not exist yet.")
    ] = False,
    out: Out = None,
    config_dir: ConfigDir = None,
    data_dir: DataDir = None,
    nats_url: NatsUrl = None,
) -> None:
    """Add a user."""
    from trialbook.errors import Invalid
    from trialbook_deploy.commands.kit import usage_error

    users, state = _found(config_dir, data_dir)
    if out is not None and out.exists():
        raise DeployError(f"{out} is there already; a seed is never written over a file.")
    if not allow_missing:
        _check_workspace(workspace, state, data_dir, nats_url)
    try:
        user, seed = users.add(name, workspace, read_only=read_only)
    except Invalid as refusal:
        usage_error(refusal.detail)
    _hand_over(user, seed, out)
    _take_up(users, state)
    if catch_up:
        _with_consumers(user, data_dir, nats_url, _make)


def rotate(name: Name, out: Out = None, config_dir: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Give a user a new key; connections with the old one are closed."""
    users, state = _found(config_dir, data_dir)
    user, seed = users.rotate(name)
    _hand_over(user, seed, out)
    _take_up(users, state)


def remove(name: Name, config_dir: ConfigDir = None, data_dir: DataDir = None, nats_url: NatsUrl = None) -> None:
    """Remove a user with its consumers; its connections are closed."""
    users, state = _found(config_dir, data_dir)
    user = users.remove(name)
    _take_up(users, state)
    typer.echo(f"{name} is removed", err=True)
    if state is not None or nats_url is not None:
        _with_consumers(user, data_dir, nats_url, _delete)


def show(config_dir: ConfigDir = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List users with their workspaces and public keys."""
    import msgspec

    from trialbook_deploy.commands.show import write_json, write_table

    users, _ = _found(config_dir, data_dir)
    if as_json:
        write_json(msgspec.to_builtins(users.all()))
        return
    rows = [
        (user.name, user.workspace, "read" if user.read_only else "read, command", user.public_key, user.created_at)
        for user in users.all()
    ]
    write_table(("user", "workspace", "may", "public key", "created"), rows)


def _found(config_dir: Path | None, data_dir: Path | None) -> tuple[Users, UpState | None]:
    """The users meant, and the running stack whose server has to be told."""
    from trialbook_deploy.nats_users import Users
    from trialbook_deploy.state import default_data_dir, prepare_data_dir, read_state

    if config_dir is not None:
        if not config_dir.is_dir():
            raise DeployError(f"There is no directory {config_dir}.")
        return Users(config_dir), None
    base = prepare_data_dir(data_dir or default_data_dir())
    directory = base / "nats"
    directory.mkdir(mode=0o700, exist_ok=True)
    state = read_state(base)
    return Users(directory), state if state is not None and state.nats_monitor_url else None


def _check_workspace(workspace: str, state: UpState | None, data_dir: Path | None, nats_url: str | None) -> None:
    """Ask the server, where one is known. A name that is none is left to be refused as such."""
    import asyncio

    from trialbook.errors import Unavailable
    from trialbook.ids import SLUG
    from trialbook_deploy.nats_workspace import require
    from trialbook_deploy.target import nats_server_url

    if not SLUG.fullmatch(workspace):
        return
    if state is None and nats_url is None:
        typer.echo(f"No server can be asked whether the workspace {workspace} exists; that is not checked.", err=True)
        return
    try:
        asyncio.run(require(nats_server_url(data_dir, nats_url), workspace))
    except Unavailable as refusal:
        raise DeployError(f"{refusal.detail} To add the user all the same: --allow-missing.") from refusal


def _hand_over(user: Outsider, seed: str, out: Path | None) -> None:
    from trialbook_deploy.files import write_private

    kind = "read only" if user.read_only else "may command"
    typer.echo(f"{user.name} of workspace {user.workspace} ({kind}), public key {user.public_key}", err=True)
    if out is None:
        typer.echo(seed)
        return
    try:
        write_private(out, seed + "\n")
    except OSError as error:
        raise DeployError(
            f"cannot write {out}: {error.strerror}. `trialbook nats user rotate {user.name}` gives another seed."
        ) from error
    typer.echo(f"its seed is in {out}", err=True)


def _take_up(users: Users, state: UpState | None) -> None:
    import asyncio

    from trialbook_deploy.nats_accounts import USERS_FILE
    from trialbook_deploy.nats_users import reload

    if state is not None:
        asyncio.run(reload(state))
        return
    typer.echo(
        f"{users.directory / USERS_FILE} is written. Where nats.conf includes it, have each server read it twice (the "
        "first time a new account has no imports): nats-server --signal reload; a stack that starts reads it anyway.",
        err=True,
    )


def _with_consumers(
    user: Outsider, data_dir: Path | None, nats_url: str | None, work: Callable[[Consumers], Awaitable[None]]
) -> None:
    from trialbook.log.connect import connect
    from trialbook.log.consumers import Consumers
    from trialbook_deploy.commands.kit import run
    from trialbook_deploy.target import nats_server_url

    async def connected() -> int:
        nc = await connect(nats_server_url(data_dir, nats_url), name="trialbook-nats", wait_s=3.0)
        try:
            await work(Consumers(nc, user.name, user.workspace))
        finally:
            await nc.close()
        return 0

    run(connected())


async def _make(consumers: Consumers) -> None:
    for view in (await consumers.create("main", "facts"), await consumers.create("main", "signals")):
        typer.echo(f"consumer {view.consumer} of {view.stream}: pull from {view.pull}", err=True)


async def _delete(consumers: Consumers) -> None:
    for view in await consumers.all():
        await consumers.delete(view.name, view.stream)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    user = typer.Typer(name="user", help="Users of one workspace each, known by their keys.", no_args_is_help=True)
    user.command("add", help=teach(ADD))(add)
    user.command("list")(show)
    user.command("rotate")(rotate)
    user.command("remove")(remove)
    group = typer.Typer(name="nats", help=teach(HELP), no_args_is_help=True)
    group.add_typer(user)
    app.add_typer(group)
