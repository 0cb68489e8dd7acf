"""Store a file as a new version of a dataset over NATS, and read it back.

    pip install 'trialbook[server]'
    trialbook nats user add alice --workspace main --out alice.nk
    python python_dataset.py nats://127.0.0.1:4222 alice.nk main prices prices.csv

A message holds less than a file, so it goes up in parts and comes down in pieces. Begin again after any error: a part
takes the place of an earlier one, and the same `Idempotency-Key` makes one file and one version of it.
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from trialbook.credentials import connect  # with the package nkeys: nats.connect(url, nkeys_seed=seed)

PART_BYTES = 256 * 1024
AT_ONCE = 8


class Refused(Exception):
    """The service said no; `code` is stable."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['detail']}")
        self.code: str = error["code"]


async def command(nc: Client, subject: str, body: bytes | dict[str, Any], key: str = "") -> Any:
    """The result of a command."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await nc.request(subject, data, timeout=60, headers={"Idempotency-Key": key} if key else None)
    answer = json.loads(reply.data)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["result"]


async def upload(nc: Client, workspace: str, name: str, content: bytes) -> dict[str, Any]:
    """Send a file in parts, and make them one."""
    digest = hashlib.sha256(content).hexdigest()
    parts = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
    for first in range(0, len(parts), AT_ONCE):
        some = enumerate(parts[first : first + AT_ONCE], first)
        await asyncio.gather(
            *(command(nc, f"cmd.{workspace}.file.part.{digest}.{number}", part) for number, part in some)
        )
    order = {"upload": digest, "parts": len(parts), "size": len(content), "sha256": digest, "name": name}
    file: dict[str, Any] = await command(nc, f"cmd.{workspace}.file.upload", order, key=f"{name}-{digest}")
    return file


async def dataset(nc: Client, workspace: str, name: str) -> str:
    """The id of the dataset of that name, which is made if there is none."""
    try:
        made = await command(nc, f"cmd.{workspace}.dataset.create", {"name": name})
    except Refused as refused:
        if refused.code != "name_taken":
            raise
        reply = await nc.request(f"ask.{workspace}.item.list", json.dumps({"kind": "dataset", "search": name}).encode())
        items = json.loads(reply.data)["result"]["items"]
        made = next(item for item in items if item["data"]["name"] == name)
    return str(made["id"])


async def read(nc: Client, workspace: str, body: dict[str, Any]) -> bytes:
    """The bytes of a file of a version, checked against their digest."""
    content, size, digest = b"", 1, ""
    while len(content) < size:
        question = json.dumps({**body, "start": len(content)}).encode()
        reply = await nc.request(f"ask.{workspace}.content.version", question, timeout=10)
        headers = reply.headers or {}
        if "Trialbook-Size" not in headers:
            raise Refused(json.loads(reply.data)["error"])
        size, digest = int(headers["Trialbook-Size"]), headers["Trialbook-Sha256"]
        content += reply.data
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("the bytes are not those that were stored")
    return content


async def main(url: str, seed: str, workspace: str, name: str, path: Path, content: bytes) -> None:
    """Upload, add the version, read it back."""
    nc = await connect(url, seed)
    try:
        file = await upload(nc, workspace, path.name, content)
        id_ = await dataset(nc, workspace, name)
        order = {"id": id_, "files": {path.name: file["id"]}}
        version = await command(nc, f"cmd.{workspace}.dataset.version", order, key=f"{id_}-{file['id']}")
        back = await read(nc, workspace, {"id": id_, "version": version["number"], "name": path.name})
        print(f"{name} has version {version['number']}: {path.name}, {len(back)} bytes, {file['data']['sha256']}")
    finally:
        await nc.close()


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    url_, seed_, workspace_, name_, path_ = sys.argv[1:]
    asyncio.run(main(url_, seed_, workspace_, name_, Path(path_), Path(path_).read_bytes()))
