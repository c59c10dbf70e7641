"""What the target picker offers, from the shipped demo, practice and the providers. Must not know widgets' looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from weakref import WeakKeyDictionary

from app.models_view import OWNERS
from app.server_choices import LOCAL_ONLY_REASON, Server, servers
from backends.cloud.offers import ModelList
from backends.cloud.providers import CloudModel, Endpoint, model_of, shipped_endpoints
from backends.cloud.servers import ANY_MODEL
from backends.errors import NearfarError
from backends.records import Target
from backends.targets import DEMO, PRACTICE
from backends.workbench import Workbench
from widgets.values import GROUP_CLOUD, GROUP_OWN, GROUP_PRACTICE, THIS_MACHINE, TargetChoice

FIRST_LANES = (str(DEMO), str(PRACTICE))


def target_choices(bench: Workbench) -> list[TargetChoice]:
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
    return [*here, *_installed(bench), *_served(bench)]


def choice_for(bench: Workbench, target: Target) -> TargetChoice | None:
    """The description of a target that is in no list, so that a lane says where its prompts go."""
    if target.is_local:
        return None
    try:
        endpoint = bench.access.endpoint(target)
    except NearfarError:
        return None
    if endpoint is None:
        return None
    return _choice(bench, target, endpoint, bench.access.retires(endpoint, model_of(target)))


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


def _served(bench: Workbench) -> Iterator[TargetChoice]:
    """Models of every server: those that it listed, else the shipped ones; servers of one's own at least by name."""
    kept = _KEPT.setdefault(bench, {})
    for server in servers(bench):
        rests_on = _state(bench, server)
        if server.name not in kept or not kept[server.name].rests_on_same(rests_on):
            kept[server.name] = _Kept(rests_on, tuple(_choices_of(bench, server)))
        yield from kept[server.name].choices


@dataclass(frozen=True, slots=True)
class _State:
    """All that the choices of a server rest on."""

    server: Server
    listed: ModelList | None
    needs_key: bool
    local_only: bool
    today: date


@dataclass(frozen=True, slots=True)
class _Kept:
    """The choices of a server as they were made last: a list can have thousands of models, and every change of a
    setting shows the targets anew."""

    state: _State
    choices: tuple[TargetChoice, ...]

    def rests_on_same(self, state: _State) -> bool:
        return self.state.listed is state.listed and replace(self.state, listed=None) == replace(state, listed=None)


_KEPT: WeakKeyDictionary[Workbench, dict[str, _Kept]] = WeakKeyDictionary()


def _state(bench: Workbench, server: Server) -> _State:
    endpoint = server.endpoint
    return _State(
        server,
        bench.known_models.of(endpoint.base_url) if endpoint is not None else None,
        endpoint is not None and bench.access.server_needs_key(endpoint),
        bench.settings.local_only is True,
        date.today(),  # noqa: DTZ011  announced days are calendar days
    )


def _choices_of(bench: Workbench, server: Server) -> Iterator[TargetChoice]:
    for model in _models(bench, server):
        target = replace(server.target, model=_under(server.target, model.id))
        yield _listed(bench, server, target, model.retires)


def _models(bench: Workbench, server: Server) -> Sequence[CloudModel]:
    if server.endpoint is None:
        shipped = shipped_endpoints().get(server.target.provider)
        found = [model for model in shipped.models if model.offered] if shipped is not None else []
    else:
        found = list(bench.access.offered(server.endpoint))
    return found or ([CloudModel(ANY_MODEL)] if server.group == GROUP_OWN else [])


def _under(target: Target, model: str) -> str:
    return f"{target.model.partition('/')[0]}/{model}" if target.provider == "custom" else model


def _listed(bench: Workbench, server: Server, target: Target, retires: date | None) -> TargetChoice:
    """A target of the list; one whose address cannot be used is shown with the reason and cannot be chosen."""
    if server.endpoint is not None:
        return _choice(bench, target, server.endpoint.asked_for(model_of(target)), retires, server.group)
    shipped = shipped_endpoints().get(server.target.provider)
    label = shipped.label if shipped is not None else server.name
    return TargetChoice(
        name=str(target),
        label=model_of(target),
        group=server.group,
        where=label,
        retires_on=retires.isoformat() if retires else None,
        disabled_reason=f"{label}: {server.problem}",
    )


def _choice(
    bench: Workbench, target: Target, endpoint: Endpoint, retires: date | None, group: str = GROUP_CLOUD
) -> TargetChoice:
    leaves = endpoint.leaves_machine
    refused = leaves and bench.settings.local_only is True
    return TargetChoice(
        name=str(target),
        label=model_of(target),
        detail=endpoint.label,
        group=group,
        where=endpoint.destination if leaves else THIS_MACHINE,
        sent_on=endpoint.sent_on_to is not None,
        needs_key=bench.access.server_needs_key(endpoint),
        retires_on=retires.isoformat() if retires else None,
        disabled_reason=LOCAL_ONLY_REASON if refused else None,
    )
