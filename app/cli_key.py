"""`nearfar key`: API keys in the keyring of the system, set, looked at and deleted. Must not import Qt.

A key is read from a prompt that does not show it, or from standard input. Whatever is typed in its place on the
command line is refused without being repeated, for it may be a key.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli_parser import Parser
from app.cli_print import one_line, say
from app.exits import EXIT_FAILED, EXIT_OK
from backends.errors import KeyNotKept, UsageError
from backends.keys import MAX_LENGTH, BadKey, Secret, key_from_bytes, parse_key

if TYPE_CHECKING:
    from backends.cloud.providers import Endpoint
    from backends.key_ring import KeyState
    from backends.workbench import Workbench

SHORTEST = 8
PROVIDER_HELP = "openai, together, ..., huggingface, or custom:NAME for a server of your own"
ENDS = "Exit status: 0 done; 1 the keyring did not do it; 2 bad usage, or what was typed is no key; 130 stopped."
PLACES = {"keyring": "in the keyring", "session": "for this session only", "none": "none"}


def add_key(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare the command and its actions."""
    key = commands.add_parser("key", help="API keys in the keyring of this system", allow_abbrev=False)
    actions = key.add_subparsers(dest="action", metavar="set|status|delete", required=True, parser_class=Parser)
    setting = actions.add_parser(
        "set", help="keep a key, which is asked for or read from standard input", epilog=ENDS, allow_abbrev=False
    )
    status = actions.add_parser("status", help="where keys are; never the keys themselves", allow_abbrev=False)
    delete = actions.add_parser("delete", help="delete a key from the keyring", epilog=ENDS, allow_abbrev=False)
    for action in (setting, delete):
        action.add_argument("provider", metavar="PROVIDER", help=PROVIDER_HELP)
    status.add_argument("provider", metavar="PROVIDER", nargs="?", help=f"{PROVIDER_HELP}; all of them if left out")
    for parser in (key, setting, status, delete):
        parser.hides_input = True
    for action in (setting, status, delete):
        action.add_argument("--json", action="store_true")


def key(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where the keyring did not do what was asked; raises UsageError, BadKey or KeyNotKept."""
    from backends.workbench import Workbench

    bench = Workbench.open()
    for warning in bench.warnings:
        say(warning)
    return asyncio.run(_run(arguments, bench))


async def _run(arguments: argparse.Namespace, bench: Workbench) -> int:
    from backends.key_holders import key_holder, key_holders

    try:
        if arguments.provider is None:
            endpoints: Sequence[Endpoint] = key_holders(bench.settings)
        else:
            endpoints = [key_holder(arguments.provider, bench.settings)]
        action = {"set": _set, "status": _status, "delete": _delete}[arguments.action]
        return await action(arguments, bench, endpoints)
    finally:
        await bench.close()


async def _set(arguments: argparse.Namespace, bench: Workbench, endpoints: Sequence[Endpoint]) -> int:
    from backends.keyring_state import find_keyring

    (endpoint,) = endpoints
    sent = None if _is_typed() else _read_key(endpoint.label)  # what is no key is said with or without a keyring
    keyring = await find_keyring()
    if not keyring.is_there:  # said before a key is typed for nothing
        raise _not_kept(keyring.reason)
    state = await bench.keys.keep(endpoint.key_entry, sent or _read_key(endpoint.label))
    if state.place != "keyring":
        raise _not_kept(state.reason)
    _print([state], endpoints, keyring.backend, as_json=arguments.json)
    return EXIT_OK


async def _status(arguments: argparse.Namespace, bench: Workbench, endpoints: Sequence[Endpoint]) -> int:
    from backends.keyring_state import find_keyring

    states = await bench.keys.states([endpoint.key_entry for endpoint in endpoints])
    keyring = await find_keyring()
    _print(states, endpoints, keyring.backend, as_json=arguments.json)
    if not keyring.is_there and not arguments.json:
        say(f"{keyring.reason} Name a variable that holds a key with --key-env instead.")
    return EXIT_OK


async def _delete(arguments: argparse.Namespace, bench: Workbench, endpoints: Sequence[Endpoint]) -> int:
    from backends.keyring_state import find_keyring

    (endpoint,) = endpoints
    state = await bench.keys.forget(endpoint.key_entry, look_anyway=True)
    _print([state], endpoints, (await find_keyring()).backend, as_json=arguments.json)
    return EXIT_FAILED if state.reason else EXIT_OK


def _not_kept(reason: str) -> KeyNotKept:
    return KeyNotKept(
        reason,
        safe="The key was not kept elsewhere.",
        fix="Unlock or install a keyring, or name a variable that holds the key: nearfar run --key-env NAME.",
    )


def _is_typed() -> bool:
    """Whether a person at a terminal is asked for the key."""
    return sys.stdin is not None and sys.stdin.isatty()


def _read_key(label: str) -> Secret:
    """From a prompt that shows nothing, or from standard input; raises UsageError or BadKey, never with the key.

    Ctrl-C ends the command at once.
    """
    if sys.stdin is None:
        raise UsageError("There is no standard input to read the key from.", safe="Nothing was kept.")
    # asyncio's own handler would wait for the loop, which waits for the key.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _long_enough(_typed_key(label) if _is_typed() else key_from_bytes(_sent_bytes()))
    finally:
        signal.signal(signal.SIGINT, before)


def _sent_bytes() -> bytes:
    return sys.stdin.buffer.read(16 * MAX_LENGTH)


def _typed_key(label: str) -> Secret:
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would show the key
        try:
            return parse_key(getpass.getpass(f"API key for {label} (it is not shown): "))
        except (getpass.GetPassWarning, EOFError):
            raise UsageError(
                "The key could not be read from this terminal without showing it.",
                safe="Nothing was kept.",
                fix="Send it to standard input instead: nearfar key set PROVIDER < FILE.",
            ) from None


def _long_enough(key: Secret) -> Secret:
    """The same key; raises BadKey for what is more likely a slip of the hand, which would replace a good key."""
    if len(key.reveal()) < SHORTEST:
        raise BadKey(f"The key has fewer than {SHORTEST} characters, which no API key has.")
    return key


def _print(states: Sequence[KeyState], endpoints: Sequence[Endpoint], backend: str, *, as_json: bool) -> None:
    width = max(len(endpoint.key_name) for endpoint in endpoints) + 2
    for state, endpoint in zip(states, endpoints, strict=True):
        if as_json:
            report = {
                "provider": endpoint.key_name,
                "place": state.place,
                "reason": state.reason or None,
                "backend": backend,
            }
            print(json.dumps(report))
            continue
        where = f" ({backend})" if state.place == "keyring" else ""
        why = f" {state.reason}" if state.reason else ""
        print(one_line(f"{endpoint.key_name:<{width}}{endpoint.label}: {PLACES[state.place]}{where}.{why}"))
