"""Brings together what two programs changed in the settings at the same time. Must not know files, nor what they mean.

The window and a command share one file. Each one's own changes count, and nothing that it merely remembers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.settings import Settings

COLLECTIONS = frozenset({"kept_keys", "offered_variables", "accepted_licences", "added_repos"})


def merged(mine: Settings, before: Settings, others: Mapping[str, Any]) -> Settings:
    """`mine`, with what `others` have by now wherever `mine` is as it was `before`.

    In a collection each entry counts for itself: mine are added, those that I took out are taken out.
    """
    values: dict[str, Any] = {}
    for key, theirs in others.items():
        now, then = getattr(mine, key), getattr(before, key)
        if key in COLLECTIONS:
            kept = tuple(each for each in theirs if each in now or each not in then)
            values[key] = (*kept, *(each for each in now if each not in then and each not in kept))
        elif now == then:
            values[key] = theirs
    return dataclasses.replace(mine, **values)
