"""`trialbook package`: take a run away as one archive, and check such an archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trialbook_deploy.commands.options import AsJson, DataDir, Url, Workspace, teach

if TYPE_CHECKING:
    from trialbook.client import AsyncClient

CHUNK_BYTES = 256 * 1024

HELP = """Take a run away as one archive that can be checked without the service, or check one.

The archive (a ZIP file, and an RO-Crate) holds the run's facts with the proof that each stands in the signed ledger,
its order and verdict, inputs and outputs with digests, log lines, metrics, rows, the environment, and signed
statements (in-toto, SLSA provenance) about every artifact.

\b
Examples:
  trialbook package last
  trialbook package my_experiment --output my_experiment.zip
  trialbook package --verify my_experiment.zip --key "$(trialbook audit key)"

--key is the ledger's public key, as `trialbook audit key` prints it, from somebody you trust; give it again for each
key that the ledger had.

Exit codes: 0 written or in order, 1 it did not work or the package was changed, 2 wrong usage.
"""


class ZipArchive:
    """A package in a ZIP file."""

    def __init__(self, path: Path) -> None:
        import zipfile

        self._zip = zipfile.ZipFile(path)

    def names(self) -> list[str]:
        """All files."""
        return [info.filename for info in self._zip.infolist() if not info.is_dir()]

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes."""
        with self._zip.open(name) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk


def package(
    run: Annotated[str, typer.Argument(help="Id, unique part of one, name, or `last`.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to.", show_default="run-<id>.zip")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", help="Check this package instead; needs no service.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="A public key of the ledger, or a file of one.")
    ] = None,
    url: Url = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Package a run."""
    from trialbook_deploy.commands.kit import usage_error, with_client

    if verify is not None:
        raise typer.Exit(_verify(verify, key or [], as_json))
    if not run:
        usage_error("Which run? `trialbook package last` takes the newest.")

    async def work(client: AsyncClient) -> int:
        from trialbook_deploy.commands.show import console, write_json
        from trialbook_deploy.commands.which import run_id

        id_ = await run_id(client, run)
        path = await client.runs.package(id_, output or Path(f"run-{id_}.zip"))
        size = path.stat().st_size
        if as_json:
            write_json([{"run": id_, "path": str(path), "bytes": size}])
        else:
            console().print(f"{path} ({size:,} bytes)", markup=False)
        return 0

    with_client(url, data_dir, workspace, work)


def _verify(path: Path, keys: list[str], as_json: bool) -> int:
    import zipfile

    from trialbook.audit.signer import InvalidKey, parse_public
    from trialbook.package.check import check
    from trialbook_deploy.commands.kit import usage_error
    from trialbook_deploy.commands.show import console, write_json

    if not keys:
        usage_error("--verify needs the ledger's public key: --key; `trialbook audit key` prints it.")
    try:
        public = [parse_public(Path(text).read_text() if Path(text).is_file() else text) for text in keys]
        archive = ZipArchive(path)
        verdict = check(archive, public)
    except (InvalidKey, OSError) as error:
        usage_error(f"{error}")
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        verdict = _broken(path, error)
    if as_json:
        write_json([verdict])
        return 1 if verdict.faults else 0
    for fault in verdict.faults:
        console().print(f"  {fault}", markup=False)
    for name, digest in verdict.absent.items():
        console().print(f"  {name} was not stored any more (sha256 {digest})", markup=False)
    counts = f"{verdict.files} files, {verdict.facts} facts, statements about {verdict.statements} artifacts"
    state = "CHANGED" if verdict.faults else "in order"
    console().print(f"{path}: {state} ({counts})", markup=False)
    return 1 if verdict.faults else 0


def _broken(path: Path, error: BaseException) -> Any:
    from trialbook.package.check import Verdict

    return Verdict(faults=[f"{path.name} is no readable ZIP archive: {error}"])


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=teach(HELP))(package)
