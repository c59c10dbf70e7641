"""Whose keys there may be: the providers, the person's own servers and the hub. Must not see a key."""

from __future__ import annotations

import contextlib

from backends.cloud.providers import Endpoint, endpoint_for, shipped_endpoints
from backends.errors import NearfarError, UsageError
from backends.records import Target
from backends.settings import Settings

HUB = "huggingface"
CUSTOM = "custom:"


def key_holders(settings: Settings) -> tuple[Endpoint, ...]:
    """Everybody who asks for a key or has one, in the order of the picker, the hub last.

    Servers whose address cannot be used are left out.
    """
    asking = [name for name, shipped in shipped_endpoints().items() if shipped.needs_key]
    own = [f"{CUSTOM}{name}" for name in settings.custom_servers]
    found: dict[str, Endpoint] = {}
    kept = [each.partition("@")[0] for each in settings.kept_keys]
    for name in (*asking, *own, *kept, HUB):
        with contextlib.suppress(NearfarError):
            found.setdefault(name, key_holder(name, settings))
    entries = {endpoint.key_entry for endpoint in found.values()}
    for entry in settings.kept_keys:
        if entry not in entries:
            found.setdefault(entry, _moved_away(entry))
    hub = found.pop(HUB)
    return (*found.values(), hub)


def key_holder(name: str, settings: Settings) -> Endpoint:
    """Who is called openai, custom:lab or huggingface. Raises UsageError, which never repeats the name, or BadAddress.

    A name may be a key that was typed in the wrong place.
    """
    if name == HUB:
        return _hub()
    if "@" in name and name in settings.kept_keys:
        return _moved_away(name)
    if name.startswith(CUSTOM):
        return _own(name, settings)
    if name not in shipped_endpoints():
        known = ", ".join((*shipped_endpoints(), HUB))
        raise UsageError("There is no provider of this name.", fix=f"Name one of {known} or custom:NAME.")
    return endpoint_for(Target(name, "any"), addresses=settings.custom_servers)


def _own(name: str, settings: Settings) -> Endpoint:
    label = name.removeprefix(CUSTOM)
    try:
        return endpoint_for(Target("custom", f"{label}/any"), addresses=settings.custom_servers)
    except NearfarError:
        entry = next((each for each in settings.kept_keys if each.partition("@")[0] == name), None)
        if entry is not None:
            return _moved_away(entry)
    raise UsageError("None of your servers has this name.", fix="Set NEARFAR_NAME_BASE_URL to its address first.")


def _moved_away(entry: str) -> Endpoint:
    """Its address is gone or another now, and its key can still be deleted."""
    label, _at, address = entry.removeprefix(CUSTOM).partition("@")
    named = f"{label}, formerly at {address}" if address else label
    return Endpoint(provider="custom", label=named, base_url="", needs_key=False, key_name=entry)


def _hub() -> Endpoint:
    from backends.models.hub_address import hub_url

    return Endpoint(provider=HUB, label="Hugging Face", base_url=hub_url(), needs_key=True, key_name=HUB)
