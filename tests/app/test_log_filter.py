"""The real log file after errors whose texts hold a prompt and keys: it has their types and places, nothing else."""

from __future__ import annotations

import base64
import logging
import os
import stat
import subprocess
import sys
import textwrap
from urllib.parse import quote

import pytest

from app.log_filter import HIDDEN, LogFilter, frames_of
from backends.errors import KeyMissing
from backends.keys import Secret
from backends.paths import app_paths

KEY = "plain/key+of-lab"  # of no shape that anybody would know
PROMPT = "PROMPT-9f3c"
BEARER = "sk-canary-123"

CODE = """
    import asyncio, gc, logging, os, sys, threading
    from app.crash import keep_logs
    from backends.keys import Secret
    from backends.paths import app_paths
    os.umask(0)
    teller = keep_logs(app_paths().logs)
    teller.filter_of_logs.keys = lambda: [Secret("{key}")]
    TEXT = "Illegal header value b'Bearer {bearer}' of {key} for {prompt}"
    def fail(*_):
        raise RuntimeError(TEXT)
    def chained():
        try:
            fail()
        except RuntimeError as error:
            raise ValueError(TEXT) from error
    def while_handling():
        try:
            fail()
        except RuntimeError:
            raise KeyError(TEXT)
    def group():
        found = []
        for make in (fail, chained):
            try:
                make()
            except Exception as error:
                error.add_note(TEXT)
                found.append(error)
        raise ExceptionGroup(TEXT, found)
    class Bad:
        def __del__(self):
            fail()
    async def callback():
        asyncio.get_running_loop().call_soon(fail, TEXT)
        await asyncio.sleep(0)
    async def forgotten():
        async def afail():
            fail()
        task = asyncio.ensure_future(afail())
        await asyncio.sleep(0)
        del task
        gc.collect()
    def in_thread():
        thread = threading.Thread(target=chained, name=TEXT)
        thread.start()
        thread.join()
    def as_argument():
        logging.getLogger("somebody").warning("failed: %s and %r", RuntimeError(TEXT), ValueError(TEXT))
        logging.getLogger("somebody").error(RuntimeError(TEXT), stack_info=True)
    def not_formatted():
        logging.getLogger("somebody").warning("%d", TEXT)
    kinds = {"main": fail, "chained": chained, "context": while_handling, "group": group, "unraisable": Bad,
             "callback": lambda: asyncio.run(callback()), "forgotten": lambda: asyncio.run(forgotten()),
             "thread": in_thread, "argument": as_argument, "format": not_formatted}
    kinds[sys.argv[1]]()
"""

ALSO = {
    "main": ("RuntimeError",),
    "chained": ("RuntimeError", "which led to:", "builtins.ValueError"),
    "context": ("RuntimeError", "which led to:", "builtins.KeyError"),
    "group": ("ExceptionGroup", "one of 2:", "RuntimeError", "ValueError"),
    "unraisable": ("RuntimeError",),
    "callback": ("asyncio: an error that nothing caught", "RuntimeError"),
    "forgotten": ("asyncio: an error that nothing caught", "RuntimeError"),
    "thread": ("RuntimeError", "ValueError"),
    "argument": ("failed: RuntimeError and 'ValueError'",),
    "format": ("a message that could not be written (TypeError)",),
}


def leave_a_log(kind: str) -> tuple[str, str]:
    """What the log file has, and what the terminal had."""
    code = textwrap.dedent(CODE).replace("{key}", KEY).replace("{bearer}", BEARER).replace("{prompt}", PROMPT)
    done = subprocess.run(
        [sys.executable, "-c", code, kind], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    return (app_paths().logs / "nearfar.log").read_text(), done.stdout + done.stderr


@pytest.mark.parametrize("kind", ALSO)
def test_an_unexpected_error_leaves_types_and_places_in_the_log(kind: str) -> None:
    logged, said = leave_a_log(kind)
    for secret in (KEY, PROMPT, BEARER, "Illegal header"):
        assert secret not in logged
        assert secret not in said
    for words in ALSO[kind]:
        assert words in logged
    if kind not in ("argument", "format"):
        assert "<string>:" in logged
        assert " in fail" in logged


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_may_read_the_logs() -> None:
    logs = app_paths().logs
    logs.mkdir(parents=True)
    for name in ("nearfar.log", "nearfar.log.1"):  # as an earlier version made them
        (logs / name).touch(0o644)
    leave_a_log("main")
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in logs.iterdir()}
    assert modes == dict.fromkeys(("nearfar.log", "nearfar.log.1", "native-crash.log"), 0o600)


def record_of(message: object, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("app.any", logging.WARNING, __file__, 1, message, arguments, None)


def filtered(message: object, *arguments: object) -> str:
    made = LogFilter()
    made.keys = lambda: [Secret(KEY), Secret("abc")]
    record = record_of(message, *arguments)
    assert made.filter(record)
    return record.getMessage()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-0123456789_abc",
        "gsk_0123456789abcdef",
        "hf_AbCdEfGhIjKlMnOpQr",
        "hf_canary123",
        KEY,
        quote(KEY, safe=""),
        base64.b64encode(KEY.encode()).decode(),
    ],
)
def test_a_key_in_a_message_is_hidden(secret: str) -> None:
    assert filtered("sent %s on", secret) == f"sent {HIDDEN} on"
    assert filtered(f"('{secret}')") == f"('{HIDDEN}')"


def test_what_follows_a_header_is_hidden_whatever_it_is() -> None:
    assert filtered("b'Authorization: Bearer of-any_shape'") == f"b'Authorization: Bearer {HIDDEN}'"
    assert filtered("x-api-key: of-any_shape, 3") == f"x-api-key: {HIDDEN}, 3"


def test_what_is_no_key_stays() -> None:
    words = "task-manager ran hf_hub_download and hf_transfer in 3 s; ask-me, risk-free, abc"
    assert filtered(words) == words
    assert filtered("100 %") == "100 %"
    assert filtered("not now: %s", KeyMissing("OpenAI needs a key.")).startswith("not now: OpenAI needs a key.")


def test_an_endless_error_is_cut() -> None:
    def deep(left: int) -> None:
        if left == 0:
            raise ValueError(PROMPT)
        deep(left - 1)

    with pytest.raises(ValueError, match=PROMPT) as caught:
        deep(200)
    lines = frames_of(caught.value)
    assert len(lines) < 70
    assert any("more" in line for line in lines)
    caught.value.__context__ = caught.value.__cause__ = caught.value
    assert len(frames_of(caught.value)) < 70
