"""What the target picker offers, from the shipped demo, practice and the providers. Must not know widgets' looks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from app.models_view import OWNERS
from backends.cloud.providers import Endpoint, endpoint_for, model_of, shipped_endpoints
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
    return [*here, *_installed(bench), *_cloud(bench, today), *_own_servers(bench)]


def choice_for(bench: Workbench, target: Target, today: date) -> TargetChoice | None:
    """The description of a target that is in no list, so that a lane says where its prompts go."""
    if target.is_local:
        return None
    try:
        endpoint = bench.endpoint(target)
    except NearfarError:
        return None
    return None if endpoint is None else _choice(bench, target, endpoint, None)


def _installed(bench: Workbench) -> Iterator[TargetChoice]:
    """The models on this disk, as they were seen last; those that lack a part say so."""
    for model in bench.models.library.models():
        what = [model.quant] if model.quant else []
        what += [OWNERS[model.origin]] if model.origin in OWNERS else []
        yield TargetChoice(
            name=str(Target("local", model.ref)),
            label=model.name,
            detail=", ".join(what),
            size_bytes=model.size_bytes,
            disabled_reason="Not complete: a part of it is missing" if model.missing_parts else None,
        )


def _cloud(bench: Workbench, today: date) -> Iterator[TargetChoice]:
    for provider, shipped in shipped_endpoints().items():
        for model in shipped.models:
            if model.offered and (model.retires is None or model.retires >= today):
                yield _listed(bench, Target(provider, model.id), shipped.label, model.retires)


def _own_servers(bench: Workbench) -> Iterator[TargetChoice]:
    for name in bench.settings.custom_servers:
        if name not in shipped_endpoints():  # by a provider's name it moves that provider, which is listed already
            yield _listed(bench, Target("custom", f"{name}/default"), name, None)


def _listed(bench: Workbench, target: Target, label: str, retires: date | None) -> TargetChoice:
    """A target of the list; one whose address cannot be used is shown with the reason and cannot be chosen."""
    try:
        endpoint = endpoint_for(target, addresses=bench.settings.custom_servers)
    except NearfarError as error:
        return TargetChoice(
            name=str(target),
            label=model_of(target),
            group=GROUP_CLOUD,
            where=label,
            retires_on=retires.isoformat() if retires else None,
            disabled_reason=f"{label}: {error.problem.what}",
        )
    return _choice(bench, target, endpoint, retires)


def _choice(bench: Workbench, target: Target, endpoint: Endpoint, retires: date | None) -> TargetChoice:
    refused = endpoint.leaves_machine and bench.settings.local_only is True
    return TargetChoice(
        name=str(target),
        label=model_of(target),
        detail=endpoint.label,
        group=GROUP_CLOUD,
        where=endpoint.destination if endpoint.leaves_machine else "this machine",
        needs_key=bench.needs_key(target),
        retires_on=retires.isoformat() if retires else None,
        disabled_reason=LOCAL_ONLY_REASON if refused else None,
    )
