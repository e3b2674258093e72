"""A test's port is nobody else's, also while its server is down."""

import socket

import pytest

from orchestrator.dev.ports import LOOPBACK
from tests.ports import OwnPort


def test_a_server_can_come_and_go_on_it() -> None:
    port = OwnPort()

    for _ in range(2):
        with listening(port):
            socket.create_connection((LOOPBACK, port.number)).close()


def test_nobody_else_is_given_it() -> None:
    port = OwnPort()
    with listening(port):
        pass

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((LOOPBACK, port.number))


def test_it_is_given_up_with_its_object() -> None:
    port = OwnPort()
    number = port.number
    del port

    with socket.socket() as other:
        other.bind((LOOPBACK, number))


def listening(port: OwnPort) -> socket.socket:
    """A server's socket, made as servers make theirs."""
    return socket.create_server((LOOPBACK, port.number))
