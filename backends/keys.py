"""API keys for as long as this process lives. Must not know the disk, the environment of children or any screen."""

from __future__ import annotations

import codecs
import hmac
import os
import re
import threading
from typing import NoReturn

from backends.errors import KeyMissing, UsageError

MAX_LENGTH = 1024
WINDOWS_LENGTH = 1280  # CredWrite takes 2,560 bytes of UTF-16; the longest keys in use have about 170 characters
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^=]")
SHOWABLE_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
KEY_SHAPE = re.compile(r"\b(?:sk|gsk|rk|pk|key|tgp|xai)[-_][A-Za-z0-9*_.-]{4,}")


class BadKey(UsageError):
    code = "bad_key"
    safe = "Nothing was kept or sent."
    fix = "Copy the key again and paste it alone."


class Secret:
    """A value that shows itself to nobody but the caller of `reveal`."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The value itself. Keep it in a local variable, for one request."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.reveal().encode())

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")


def parse_key(pasted: str) -> Secret:
    """What a person pasted, as a key; raises BadKey with a sentence that never repeats the text."""
    key = pasted.strip()
    if not key:
        raise BadKey("The key is empty.")
    if key[:1] == key[-1:] and key[:1] in "\"'" and len(key) > 1:
        raise BadKey("The key stands in quotation marks.")
    if key.lower().startswith("bearer "):
        raise BadKey("The key begins with the word Bearer, which is not part of it.")
    if any(char.isspace() for char in key):
        raise BadKey("The key has a space or a line break in it.")
    if ASSIGNMENT.match(key):
        raise BadKey("The key has a name and an equals sign before it.")
    if not (key.isascii() and key.isprintable()):
        raise BadKey("The key has a character that no key has.")
    if len(key) > MAX_LENGTH:
        raise BadKey(
            f"The key has {len(key):,} characters. Nearfar takes up to {MAX_LENGTH:,}, because the keyring of Windows "
            f"holds no more than {WINDOWS_LENGTH:,}; API keys have fewer than 200."
        )
    return Secret(key)


def key_from_bytes(raw: bytes) -> Secret:
    """What a file or a pipe holds, as a key; as `parse_key`. PowerShell and editors put a mark at the beginning."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw[:4]:
        raise BadKey(
            "The key is written in UTF-16, as PowerShell does by itself.",
            fix="Save it as UTF-8 or ASCII (in PowerShell: Set-Content -Encoding ascii), or type it at the prompt.",
        )
    return parse_key(raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace"))


def key_from_env(name: str) -> Secret:
    """The key in the variable that `--key-env` names; raises UsageError, KeyMissing or BadKey, never with its value."""
    if VARIABLE_NAME.fullmatch(name) is None:
        raise UsageError(
            "--key-env takes the name of an environment variable, never the key itself.",
            fix="For example: --key-env OPENAI_API_KEY",
        )
    value = os.environ.get(name, "")
    if not value.strip():
        shown = name if SHOWABLE_VARIABLE.fullmatch(name) else "that --key-env names"
        raise KeyMissing(f"The environment variable {shown} is not set.", fix="Set it, or name another variable.")
    return parse_key(value)


def usual_variable(key_name: str) -> str:
    """The environment variable that usually holds a provider's key: OPENAI_API_KEY, for custom:lab LAB_API_KEY."""
    if key_name == "huggingface":
        return "HF_TOKEN"
    return re.sub(r"[^A-Za-z0-9]", "_", key_name.rpartition(":")[2]).upper() + "_API_KEY"


class SessionKeys:
    """One key for each provider, in this process's memory only. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the log asks for keys to hide, also in the midst of anything
        self._keys: dict[str, Secret] = {}

    def put(self, provider: str, key: Secret) -> None:
        with self._lock:
            self._keys[provider] = key

    def put_if_none(self, provider: str, key: Secret) -> bool:
        """As `put`, unless there is a key already; False then."""
        with self._lock:
            return self._keys.setdefault(provider, key) is key

    def get(self, provider: str) -> Secret | None:
        with self._lock:
            return self._keys.get(provider)

    def has(self, provider: str) -> bool:
        return self.get(provider) is not None

    def forget_if(self, provider: str, key: Secret) -> bool:
        """Forget this very key; False where another is there by now, or none."""
        with self._lock:
            if self._keys.get(provider) != key:
                return False
            del self._keys[provider]
            return True

    def values(self) -> tuple[Secret, ...]:
        with self._lock:
            return tuple(self._keys.values())

    def forget(self, provider: str) -> None:
        """Idempotent."""
        with self._lock:
            self._keys.pop(provider, None)
