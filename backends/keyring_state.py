"""Whether this machine has a keyring that can hold API keys. Reads no key of ours, and must not store one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backends.threads import call_aside

TIMEOUT_S = 3.0

# Only stores that the system itself locks. Any other backend may write keys in plain text, as keyrings.alt does.
TRUSTED = {
    "keyring.backends.SecretService": "Secret Service",
    "keyring.backends.libsecret": "Secret Service (libsecret)",
    "keyring.backends.kwallet": "KWallet",
    "keyring.backends.macOS": "macOS Keychain",
    "keyring.backends.Windows": "Windows Credential Manager",
}
NONE_HERE = ("keyring.backends.fail", "keyring.backends.null")


@dataclass(frozen=True, slots=True)
class KeyringState:
    """`backend` names the store; `reason` says why it is not usable, empty where it is.

    `is_there` is False where this machine has no store that could ever take a key; one that is locked is there.
    """

    backend: str
    usable: bool
    reason: str = ""
    is_there: bool = True


async def read_keyring_state(timeout_s: float = TIMEOUT_S) -> KeyringState:
    """Asks the store for an entry that does not exist; one that waits for a password counts as not usable."""
    try:
        return await call_aside(_ask, timeout_s=timeout_s)
    except TimeoutError:
        return KeyringState("unknown", usable=False, reason=f"The keyring did not answer in {timeout_s:g} seconds.")


async def find_keyring(timeout_s: float = TIMEOUT_S) -> KeyringState:
    """As `read_keyring_state`, without asking the store for anything, so that no password is asked for."""
    try:
        return await call_aside(lambda: find_store()[1], timeout_s=timeout_s)
    except TimeoutError:
        return KeyringState("unknown", usable=False, reason=f"The keyring did not answer in {timeout_s:g} seconds.")


def find_store() -> tuple[Any, KeyringState]:
    """The backend that keyring chose, and whether it is one to trust; asks it for nothing. It may block."""
    import keyring

    backend = keyring.get_keyring()
    stores = _stores(backend)
    name = ", ".join(dict.fromkeys(TRUSTED.get(each, each) for each in stores)) or "none"
    if not stores or all(each.startswith(NONE_HERE) for each in stores):
        return backend, KeyringState("none", usable=False, reason="This machine has no keyring.", is_there=False)
    untrusted = [each for each in stores if each not in TRUSTED]
    if untrusted:
        reason = f"The keyring {untrusted[0]} may store keys in plain text, so it is not used."
        return backend, KeyringState(name, usable=False, reason=reason, is_there=False)
    return backend, KeyringState(name, usable=True)


def locked_words(error: BaseException) -> str:
    """What to say of a store that raised this; its own words are left out, since they may hold anything."""
    return f"The keyring is locked or broken ({type(error).__name__})."


def _ask() -> KeyringState:
    backend, state = find_store()
    if not state.usable:
        return state
    try:
        backend.get_password("nearfar", "doctor")
    except Exception as error:  # noqa: BLE001 - backends raise what their system raises, not only KeyringError
        return KeyringState(state.backend, usable=False, reason=locked_words(error))
    return state


def _stores(backend: Any) -> list[str]:
    """The modules that a key would go to; a chain passes it on to the next where one refuses."""
    module = type(backend).__module__
    if module == "keyring.backends.chainer":
        return [name for each in backend.backends for name in _stores(each)]
    return [module]
