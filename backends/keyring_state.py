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
    """`backend` names the store; `reason` says why it is not usable, empty where it is."""

    backend: str
    usable: bool
    reason: str = ""


async def read_keyring_state(timeout_s: float = TIMEOUT_S) -> KeyringState:
    """Asks the store for an entry that does not exist; one that waits for a password counts as not usable."""
    try:
        return await call_aside(_ask, timeout_s=timeout_s)
    except TimeoutError:
        return KeyringState("unknown", usable=False, reason=f"The keyring did not answer in {timeout_s:g} seconds.")


def _ask() -> KeyringState:
    import keyring

    backend = keyring.get_keyring()
    stores = _stores(backend)
    name = ", ".join(dict.fromkeys(TRUSTED.get(each, each) for each in stores)) or "none"
    if not stores or all(each.startswith(NONE_HERE) for each in stores):
        return KeyringState("none", usable=False, reason="This machine has no keyring.")
    untrusted = [each for each in stores if each not in TRUSTED]
    if untrusted:
        return KeyringState(name, usable=False, reason=f"The keyring {untrusted[0]} may store keys in plain text.")
    try:
        backend.get_password("nearfar", "doctor")
    except Exception as error:  # noqa: BLE001 - backends raise what their system raises, not only KeyringError
        return KeyringState(name, usable=False, reason=f"The keyring is locked or broken ({type(error).__name__}).")
    return KeyringState(name, usable=True)


def _stores(backend: Any) -> list[str]:
    """The modules that a key would go to; a chain passes it on to the next where one refuses."""
    module = type(backend).__module__
    if module == "keyring.backends.chainer":
        return [name for each in backend.backends for name in _stores(each)]
    return [module]
