"""What the target picker offers, from the shipped demo, practice and the providers. Must not know widgets' looks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from backends.cloud.providers import Endpoint, endpoint_for, shipped_endpoints
from backends.errors import NearfarError
from backends.records import Target
from backends.targets import DEMO, PRACTICE
from backends.workbench import Workbench
from widgets.values import GROUP_CLOUD, GROUP_PRACTICE, TargetChoice

FIRST_LANES = (str(DEMO), str(PRACTICE))
LOCAL_ONLY_REASON = "Local only is on"


def target_choices(bench: Workbench, today: date) -> list[TargetChoice]:
    """Every target the picker lists; what cannot be chosen now says why."""
    here = [
        TargetChoice(str(DEMO), "Nearfar demo", "tiny demo model, shipped with Nearfar", is_demo=True),
        TargetChoice(
            str(PRACTICE),
            "Practice",
            "the demo model served on this machine by the cloud's protocol",
            group=GROUP_PRACTICE,
            is_practice=True,
            is_demo=True,
        ),
    ]
    return [*here, *_cloud(bench, today), *_own_servers(bench)]


def choice_for(bench: Workbench, target: Target, today: date) -> TargetChoice | None:
    """The description of a target that is in no list, so that a lane says where its prompts go."""
    if target.is_local:
        return None
    try:
        endpoint = bench.endpoint(target)
    except NearfarError:
        return None
    return None if endpoint is None else _choice(bench, target, endpoint, None)


def _cloud(bench: Workbench, today: date) -> Iterator[TargetChoice]:
    for provider in shipped_endpoints():
        for model in shipped_endpoints()[provider].models:
            target = Target(provider, model.id)
            if not model.offered or (model.retires is not None and model.retires < today):
                continue
            endpoint = endpoint_for(target, addresses=bench.settings.custom_servers)
            yield _choice(bench, target, endpoint, model.retires)


def _own_servers(bench: Workbench) -> Iterator[TargetChoice]:
    for name in bench.settings.custom_servers:
        target = Target("custom", f"{name}/default")
        try:
            endpoint = endpoint_for(target, addresses=bench.settings.custom_servers)
        except NearfarError:
            continue
        yield _choice(bench, target, endpoint, None)


def _choice(bench: Workbench, target: Target, endpoint: Endpoint, retires: date | None) -> TargetChoice:
    refused = endpoint.leaves_machine and bench.settings.local_only is True
    model = target.model.partition("/")[2] if target.provider == "custom" else target.model
    return TargetChoice(
        name=str(target),
        label=model,
        detail=endpoint.label,
        group=GROUP_CLOUD,
        where=endpoint.host if endpoint.leaves_machine else "this machine",
        needs_key=bench.needs_key(target),
        retires_on=retires.isoformat() if retires else None,
        disabled_reason=LOCAL_ONLY_REASON if refused else None,
    )
