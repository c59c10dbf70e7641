"""The text of a settings file as keys and values, whole or damaged. Pure: must not know which settings there are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pydantic_core

MAX_FILE_BYTES = 1_000_000


def parse(raw: bytes) -> tuple[dict[str, Any], list[str]]:
    """The keys of a JSON object, and of a truncated one those before the cut."""
    if len(raw) > MAX_FILE_BYTES:
        return {}, ["The settings file is far too large, so defaults are used."]
    text = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        stored = pydantic_core.from_json(text)
    except ValueError:
        try:
            stored = pydantic_core.from_json(text, allow_partial=True)
        except ValueError:
            stored = {}
        if not isinstance(stored, dict):
            stored = {}
        return stored, ["The settings file is damaged; what could not be read has its default."]
    if not isinstance(stored, dict):
        return {}, ["The settings file does not hold settings, so defaults are used."]
    return stored, []


def misspelt(stored: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """The names in a file that are nearly those of settings it does not hold, each with the name that was meant.

    A person who writes `local-only` or `Local_Only` by hand means it, and would never hear that it was not read.
    """
    plain = {_plain(name): name for name in known if name not in stored}
    return {name: plain[_plain(name)] for name in stored if _plain(name) in plain}


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()
