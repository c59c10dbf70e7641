"""What the window says of keys and keyrings, as values and sentences. Must not know Qt, and never holds a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal["keyring", "session", "none"]
Tone = Literal["here", "caution", "danger"]

NEVER = "It is never written to a file of Nearfar's, a log or the history."
STATES: dict[Place, str] = {
    "keyring": "In the keyring.",
    "session": "In memory, for this session only.",
    "none": "No key.",
}


@dataclass(frozen=True, slots=True)
class KeyringNote:
    """The keyring of this machine; `name` is what people call it. A locked one is there, and not usable now."""

    name: str
    usable: bool
    is_there: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class KeyLine:
    """Whose key it is, and where it is. `host` is where it is sent, and `in_the_clear` says that this is done without
    encryption; `reason` is a sentence about its state, or empty."""

    name: str
    label: str
    host: str
    place: Place = "none"
    reason: str = ""
    in_the_clear: bool = False

    @property
    def says(self) -> str:
        warning = clear_words(self.host) if self.in_the_clear else ""
        return " ".join(filter(None, (STATES[self.place], self.reason, warning)))


def clear_words(host: str) -> str:
    """What a person must know before a key goes to an http:// address elsewhere."""
    return f"The connection to {host} is not encrypted: others on the way can read the key."


def keep_words(what: str, keyring: KeyringNote | None) -> tuple[str, str]:
    """The choice to keep a secret (`what`: key, token), and what it means here. None: not known yet."""
    if keyring is None:
        return f"Keep the {what} in the keyring of this system", f"Off: in memory, for this session only. {NEVER}"
    if not keyring.is_there:
        says = f"{keyring.reason} So the {what} is kept in memory, for this session only. {NEVER}"
        return f"Keep the {what} in a keyring", says
    choice = f"Keep the {what} in the keyring"
    if not keyring.usable:
        says = f"{keyring.reason} Where it does not take the {what}, that is kept for this session only. {NEVER}"
        return choice, says
    says = f"Locked with your login, and found again at the next start. Off: in memory, for this session only. {NEVER}"
    return f"{choice} ({keyring.name})", says


def section_words(keyring: KeyringNote | None) -> str:
    """What the Settings page says above the keys."""
    if keyring is not None and not keyring.is_there:
        return (
            f"{keyring.reason} Keys are kept in memory for this session only, and asked for again at the next start. "
            "They are never written to a file."
        )
    name = f" ({keyring.name})" if keyring is not None and keyring.usable else ""
    return (
        f"A key is kept in the keyring of this system{name} or in memory for this session, as you choose. It goes to "
        "its own provider alone, and never into a file of Nearfar's, a log or the history."
    )
