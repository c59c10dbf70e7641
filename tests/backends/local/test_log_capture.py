"""llama.cpp's log as it is kept and passed on: one line each, which no model file can use to steer a terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends.local.log_capture import ERROR, INFO, WARN, LogCapture

Callback = Callable[[int, bytes, object], None]


class Api:
    """The two calls of llama.cpp's log, without the library."""

    def __init__(self) -> None:
        self.log: Callback | None = None

    def llama_log_callback(self, function: Callback) -> Callback:
        return function

    def llama_log_set(self, callback: Callback, _user_data: object) -> None:
        self.log = callback


@pytest.mark.parametrize("level", [INFO, WARN, ERROR])
def test_control_characters_are_left_out(level: int, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    capture = LogCapture(api)
    assert api.log is not None
    api.log(level, "name = \x1b]0;owned\x07red\x9b5m\r\nnearfar:\tfine \xe9\n".encode(), None)
    expected = "name = ]0;ownedred5m  nearfar: fine é"
    assert capture.lines() == [expected]
    assert capsys.readouterr().err == ("" if level == INFO else f"{expected}\n")
