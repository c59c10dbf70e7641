"""Settings that several processes change at once, brought together. Pure: must not know files, locks or windows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from backends.settings import KEYS, Settings

BUDGETS = ("session_budget_usd", "month_budget_usd")
SETS = ("kept_keys", "accepted_licences", "added_repos", "offered_variables")  # what each adds and removes counts


def merged(base: Settings, mine: Settings, theirs: Settings) -> Settings:
    """`theirs` with what `mine` changed since `base`, which both began with.

    Where both changed one setting, mine holds, but for privacy and money: the choice that gives less away does.
    """
    return Settings(**{key: _one(key, *(getattr(each, key) for each in (base, mine, theirs))) for key in KEYS})


def _one(key: str, base: Any, mine: Any, theirs: Any) -> Any:
    if mine == base:
        return theirs
    if key in SETS:
        kept = [each for each in theirs if each in mine or each not in base]
        return (*kept, *(each for each in mine if each not in base and each not in kept))
    if key == "custom_servers":
        return _servers(base, mine, theirs)
    return mine if theirs == base else _stricter(key, mine, theirs)


def _servers(base: Mapping[str, str], mine: Mapping[str, str], theirs: Mapping[str, str]) -> Mapping[str, str]:
    kept = {name: url for name, url in theirs.items() if name in mine or name not in base}
    own = {name: url for name, url in mine.items() if base.get(name) != url}
    return MappingProxyType(kept | own)


def _stricter(key: str, mine: Any, theirs: Any) -> Any:
    if key == "local_only":
        return True if True in (mine, theirs) else mine
    if key == "keep_history":
        return mine and theirs
    if key in BUDGETS:
        return min((usd for usd in (mine, theirs) if usd is not None), default=None)
    return mine
