"""Put a package together: facts with proofs, order and verdict, inputs, outputs, signals, environment, statements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trialbook.audit.signer import Signer
from trialbook.codec import fact_of
from trialbook.errors import NotFound
from trialbook.package import dsse
from trialbook.package.check import CONTENTS, FACTS, PROOFS, PROVENANCE, Inclusion, Proofs
from trialbook.package.crate import METADATA, metadata
from trialbook.package.paths import member_path
from trialbook.package.provenance import Attempt, contents, provenance, told
from trialbook.views import RunView
from trialbook_gateway.packaging.archive import Writer
from trialbook_gateway.packaging.sources import Fact, Sources, line_of

FLUSH_BYTES = 256 * 1024
NDJSON, JSON = "application/x-ndjson", "application/json"


class Packager:
    """Writes one run's package to a file."""

    def __init__(self, sources: Sources, signer: Signer, made_at: str) -> None:
        self._sources, self._signer, self._made_at = sources, signer, made_at
        self._attempts: dict[int, Attempt] = {}
        self._sequences: list[int] = []
        self._absent: dict[str, str] = {}
        self._actor = ""

    async def write(self, path: Path) -> RunView:
        """The whole package. Raises ``NotFound``, ``Unavailable``."""
        run = await self._sources.view()
        writer = Writer(path)
        try:
            await self._records(writer, run)
            await self._bytes(writer, run)
            await self._statements(writer, run)
        finally:
            await writer.close()
        return run

    async def _records(self, writer: Writer, run: RunView) -> None:
        about = "Every decision about the run, exactly as it stands in the ledger, one per line."
        await writer.add(FACTS, self._facts(), about=about, media_type=NDJSON)
        note = await self._sources.checkpoint()
        paths = [await self._sources.inclusion(sequence, note.size) for sequence in self._sequences]
        proofs = Proofs(note.note, [Inclusion(proof.sequence, proof.path) for proof in paths])
        about = "A signed checkpoint of the ledger and the proof of each fact in it."
        await writer.add_bytes(PROOFS, msgspec.json.encode(proofs), about=about, media_type=JSON)
        body = msgspec.json.format(msgspec.json.encode(run), indent=2)
        await writer.add_bytes("run.json", body, about="The run as its readers see it.", media_type=JSON)
        await writer.add("logs.ndjson", _lines(self._sources.logs()), about="All log lines.", media_type=NDJSON)
        await writer.add("metrics.ndjson", _lines(self._sources.metrics()), about="All metrics.", media_type=NDJSON)
        for kind in await self._sources.tables():
            rows = _lines(self._sources.rows(kind))
            await writer.add(
                member_path("rows", f"{kind}.ndjson"), rows, about=f"The rows of table {kind}.", media_type=NDJSON
            )

    async def _facts(self) -> AsyncIterator[bytes]:
        buffer = bytearray()
        async for fact in self._sources.facts():
            self._note(fact)
            buffer += line_of(fact)
            if len(buffer) >= FLUSH_BYTES:
                yield bytes(buffer)
                buffer.clear()
        yield bytes(buffer)

    def _note(self, fact: Fact) -> None:
        self._sequences.append(fact.sequence)
        self._actor = self._actor or fact.event.actor
        told(self._attempts, fact_of(fact.event), fact.event.time)

    async def _bytes(self, writer: Writer, run: RunView) -> None:
        for name, digest in sorted(run.inputs.items()):
            await self._add(writer, member_path("inputs", name), digest, role="input", about=f"Input {name}.")
        for name, artifact in sorted(run.artifacts.items()):
            path, about = member_path("artifacts", name), f"Produced by attempt {artifact.attempt}."
            kind = artifact.media_type
            await self._add(writer, path, artifact.sha256, role="output", about=about, media_type=kind)
        if run.result_blob is not None:
            about = "What it returned."
            await self._add(writer, "result.json", run.result_blob, role="output", about=about, media_type=JSON)
        environments = {number: attempt.environment for number, attempt in self._attempts.items()}
        body = msgspec.json.format(msgspec.json.encode(environments), indent=2)
        about = "Versions that each attempt ran in."
        await writer.add_bytes("environment/attempts.json", body, about=about, media_type=JSON)
        for digest in sorted({e["packages"] for e in environments.values() if "packages" in e}):
            path, about = f"environment/packages-{digest[:12]}.txt", "Installed packages, name==version."
            await self._add(writer, path, digest, about=about, media_type="text/plain")

    async def _add(
        self, writer: Writer, path: str, digest: str, *, role: str = "record", about: str, media_type: str = ""
    ) -> None:
        """Add stored bytes, or note that they are gone."""
        if await self._sources.stored(digest):
            chunks = self._sources.bytes_of(digest)
            await writer.add(path, chunks, role=role, about=about, media_type=media_type)
        else:
            self._absent[path] = digest

    async def _statements(self, writer: Writer, run: RunView) -> None:
        lines = b"".join(msgspec.json.encode(e) + b"\n" for e in statements(run, self._attempts, self._signer))
        about = "A signed in-toto statement (SLSA provenance) for each artifact."
        await writer.add_bytes(PROVENANCE, lines, about=about, media_type=NDJSON)
        described = metadata(run, writer.members, self._actor or "anonymous", self._made_at)
        body = msgspec.json.format(msgspec.json.encode(described), indent=2)
        await writer.add_bytes(METADATA, body, about="This package as RO-Crate.")
        files = {member.path: member.sha256 for member in writer.members}
        envelope = dsse.sign(contents(run, files, self._absent), self._signer)
        await writer.add_bytes(CONTENTS, msgspec.json.encode(envelope), about="All files, signed.")


def statements(run: RunView, attempts: Mapping[int, Attempt], signer: Signer) -> list[dsse.Envelope]:
    """A signed statement for each artifact, by name."""
    return [
        dsse.sign(provenance(run, name, artifact, attempts.get(artifact.attempt, Attempt())), signer)
        for name, artifact in sorted(run.artifacts.items())
    ]


async def signed_statements(sources: Sources, signer: Signer, only: str = "") -> list[dsse.Envelope]:
    """The statements about a run's artifacts, or about one of them. Raises ``NotFound``."""
    run = await sources.view()
    if only and only not in run.artifacts:
        known = sorted(run.artifacts)
        raise NotFound("artifact_not_found", f"The run has no artifact {only[:100]!r}.", known=known)
    attempts: dict[int, Attempt] = {}
    async for fact in sources.facts():
        told(attempts, fact_of(fact.event), fact.event.time)
    if only:
        run = msgspec.structs.replace(run, artifacts={only: run.artifacts[only]})
    return statements(run, attempts, signer)


async def _lines(items: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    buffer = bytearray()
    async for item in items:
        buffer += bytes(item) + b"\n"
        if len(buffer) >= FLUSH_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)
