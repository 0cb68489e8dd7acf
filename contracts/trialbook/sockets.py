"""Ports of this machine that are chosen for servers before those listen."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def tcp_socket(host: str) -> socket.socket:
    """A TCP socket of the host's address family."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def held_port(host: str = LOOPBACK) -> socket.socket:
    """A bound socket on a free TCP port that nobody else is given as long as it is open.

    It does not listen, so that a server can, which sets SO_REUSEADDR as servers do, and can again when it starts anew.
    """
    held = tcp_socket(host)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, 0))
    except OSError:
        held.close()
        raise
    return held
