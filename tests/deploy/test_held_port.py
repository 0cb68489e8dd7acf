"""A chosen free port stays free until the server that it was chosen for listens, and while that one starts again."""

from __future__ import annotations

import socket

import pytest

from trialbook.sockets import LOOPBACK, held_port


def listening(port: int) -> socket.socket:
    """As servers do: with SO_REUSEADDR."""
    return socket.create_server((LOOPBACK, port))


def test_a_held_port_is_its_server_s_again_and_again_and_nobody_else_s() -> None:
    with held_port() as held:
        port = held.getsockname()[1]
        for _ in range(2):
            with listening(port):
                socket.create_connection((LOOPBACK, port)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((LOOPBACK, port))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((LOOPBACK, port))


def test_no_two_held_ports_are_the_same() -> None:
    held = [held_port() for _ in range(500)]
    try:
        assert len({one.getsockname()[1] for one in held}) == 500
    finally:
        for one in held:
            one.close()
