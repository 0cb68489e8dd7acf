"""What somebody with a connection to NATS might try: ``python -m tests.security.nats.attacks``.

Each attack gives what it gained; empty: it was refused. An attack that changes the ledger has won too, whatever it
says: the tests compare that around each of them. This program tries all of them on a stack of its own.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.security.nats.attacks.all import ATTACKS
from tests.security.nats.world import embedded_world


async def _main() -> int:
    lost = 0
    with tempfile.TemporaryDirectory() as directory:
        async with embedded_world(Path(directory)) as world:
            for name, function in ATTACKS.items():
                gained = await function(world)
                lost += bool(gained)
                sys.stdout.write(f"{'GAINED ' + gained if gained else 'refused'}  {name}\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
