"""The scripted server itself: what it leaves behind would fail whichever test happens to run when it is found."""

from __future__ import annotations

import gc
import socket

import pytest

from tests.fakes.openai_server import OpenAIServer


@pytest.mark.parametrize("stays", [True, False])
def test_a_connection_made_at_the_moment_of_the_end_is_closed_too(stays: bool) -> None:
    for _ in range(40):
        with OpenAIServer() as server:
            client = socket.create_connection(("127.0.0.1", server.port))
            if not stays:
                client.close()
        client.close()
    gc.collect()  # a socket left open would be a warning, which fails the test
