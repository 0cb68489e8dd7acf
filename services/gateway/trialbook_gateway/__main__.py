"""``python -m trialbook_gateway``: serve HTTP. Settings come from the environment."""

from __future__ import annotations

import logging
import os
import socket
import sys

import uvicorn

from trialbook.errors import Refusal
from trialbook.process import settle
from trialbook_gateway.app import create_app
from trialbook_gateway.protocol import patient
from trialbook_gateway.services import Services
from trialbook_gateway.settings import Settings, from_environment

DRAIN_S = 6
GOODBYE_S = 1.5


class LiveServer(uvicorn.Server):
    """A server that asks its live connections to end before it waits for the open ones."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End live connections with their cursors, then stop as usual."""
        if self._services.started:
            self._services.hub.stop_soon()
            await self._services.hub.drained(GOODBYE_S)
        await super().shutdown(sockets)


def server(settings: Settings) -> uvicorn.Server:
    """The configured server. Live connections are closed when it stops, after at most 7.5 seconds."""
    services = Services(settings)
    return LiveServer(
        uvicorn.Config(
            create_app(settings, services), host=settings.host, port=settings.port, loop="uvloop",
            http=patient(settings.head_s), ws="websockets-sansio",
            log_level=settings.log_level, access_log=False, server_header=False,
            proxy_headers=bool(settings.trusted_proxies), forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=DRAIN_S, ws_max_size=settings.live_frame_bytes, ws_per_message_deflate=False,
            lifespan="on", backlog=4096,
        ),
        services,
    )  # fmt: skip


def main() -> int:
    """Serve until SIGTERM; returns the exit code (78, ``EX_CONFIG``: wrong settings, to start again is useless)."""
    try:
        settings = from_environment()
        running = server(settings)
    except (ValueError, Refusal) as error:
        sys.stderr.write(f"trialbook gateway: {error}\n")
        return os.EX_CONFIG
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    settle()
    running.run()
    return 0 if running.started else 1


if __name__ == "__main__":
    sys.exit(main())
