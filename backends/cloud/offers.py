"""What a server offers: the shipped table with the server's own list laid over it. Pure: must not ask a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from difflib import get_close_matches

from backends.cloud.providers import CloudModel, Endpoint
from backends.version import APP_VERSION

FRESH_DAYS = 30
ALIKE = 0.8  # how like a typed id another must be to be taken for what was meant, 0 to 1


@dataclass(frozen=True, slots=True)
class ModelList:
    """What the server at `base_url` said it has, and when, in UTC, to which version of this program. `retires` holds
    the dates that it gave."""

    base_url: str
    models: tuple[CloudModel, ...]
    as_of: datetime
    app_version: str = APP_VERSION

    def is_stale(self, today: date) -> bool:
        """Whether what it lacks may have come since."""
        return (today - self.as_of.date()).days > FRESH_DAYS or self.app_version != APP_VERSION


def offers(endpoint: Endpoint, listed: ModelList | None, today: date) -> tuple[CloudModel, ...]:
    """The models that can be chosen today: shipped ones first, in their order, then others by name.

    Where there is a list, what it lacks is gone, unless it is stale, and its dates go before the shipped ones.
    """
    if listed is None:
        return tuple(model for model in endpoint.models if model.offered and _stays(model, today))
    theirs = {model.id: model for model in listed.models if endpoint.chats(model.id)}
    if listed.is_stale(today):
        theirs = {model.id: model for model in endpoint.models if model.offered} | theirs
    shipped = [model.id for model in endpoint.models if model.offered and model.id in theirs]
    others = sorted(theirs.keys() - set(shipped), key=str.casefold)
    dated = (_dated(theirs[name], endpoint.model(name), listed) for name in (*shipped, *others))
    return tuple(model for model in dated if _stays(model, today))


def retires_on(endpoint: Endpoint, listed: ModelList | None, model_id: str) -> date | None:
    """The announced last day of a model, by its server's list or the shipped table."""
    shipped = endpoint.model(model_id)
    theirs = next((model for model in listed.models if model.id == model_id), None) if listed is not None else None
    if theirs is not None and listed is not None:
        return _dated(theirs, shipped, listed).retires
    return shipped.retires if shipped is not None else None


def instead_of(endpoint: Endpoint, model_id: str, offered: Sequence[CloudModel]) -> str | None:
    """The model to name in place of one that its server does not have, or None where it offers no other.

    For one that was never known, the id that is most like it, since it may be a slip of typing.
    """
    others = [model for model in offered if model.id != model_id]
    if endpoint.model(model_id) is None:
        alike = get_close_matches(model_id, [model.id for model in others], n=1, cutoff=ALIKE)
        if alike:
            return alike[0]
    staying = [model for model in others if model.retires is None] or others
    return staying[0].id if staying else None


def _stays(model: CloudModel, today: date) -> bool:
    return model.retires is None or model.retires >= today


def _dated(theirs: CloudModel, shipped: CloudModel | None, listed: ModelList) -> CloudModel:
    """With the shipped date where the server gave none; not with one that the server's own list has outlived."""
    if theirs.retires is not None or shipped is None or shipped.retires is None:
        return theirs
    return theirs if shipped.retires < listed.as_of.date() else replace(theirs, retires=shipped.retires)
