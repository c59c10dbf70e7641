"""Turns machine, ranking, downloads and files into what the Models page shows. Must not read, start or paint."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from backends.devices.records import Device, Machine
from backends.fit.records import Choice, Fit, FitSeen, Lever, Part
from backends.models.download_names import valid_text
from backends.models.records import CatalogueModel, DownloadProgress, InstalledModel, Quality
from backends.own_loads import OwnLoad, held_on, identity, without_own_users
from widgets.model_values import (
    DeviceBar,
    DownloadLine,
    InstalledLine,
    LeverLine,
    MachineView,
    ModelRow,
    PartLine,
    RowState,
)

OWNERS = {
    "lm_studio": "LM Studio",
    "jan": "Jan",
    "gpt4all": "GPT4All",
    "hugging_face": "Hugging Face cache",
    "ollama": "Ollama",
}
OWN = ("downloaded", "imported")
LEAST_OWN_BYTES = 64 * 2**20  # what holds less does not show on a bar
NO_LEVERS: Mapping[str, Sequence[Lever]] = MappingProxyType({})
NO_NOTES: Mapping[str, str] = MappingProxyType({})
HUB = "https://huggingface.co"


def machine_view(machine: Machine | None, selected: Fit | None, own: Sequence[OwnLoad] = ()) -> MachineView:
    """One bar per device; `selected` is the fit whose share is drawn, `own` what workers of ours hold. None while the
    machine is still being read."""
    if machine is None:
        return MachineView()
    wanted = _wanted(selected)
    machine = without_own_users(machine, own)
    bars = tuple(_bar(device, wanted.get(identity(device), 0), own) for device in (*machine.gpus, machine.cpu))
    return MachineView(bars, machine.problems)


def _wanted(fit: Fit | None) -> Mapping[object, int]:
    if fit is None:
        return {}
    return {identity(part.device): part.total_bytes for part in (*fit.gpus, fit.host)}


def _bar(device: Device, wanted_bytes: int, own: Sequence[OwnLoad]) -> DeviceBar:
    here = [load for load in own if held_on(device, [load]) >= LEAST_OWN_BYTES]
    return DeviceBar(
        name=device.name,
        kind=device.kind,
        total_bytes=device.total_bytes,
        used_bytes=device.used_bytes,
        free_bytes=device.free_bytes,
        wanted_bytes=wanted_bytes,
        shared=device.memory == "shared",
        detail=device_detail(device),
        in_use_by=holders(device),
        own_bytes=held_on(device, here),
        own_name=own_name(here),
        makes_room=bool(here) and all(load.idle for load in here),
    )


def own_name(loads: Sequence[OwnLoad]) -> str:
    """`llama-3.2-3b:Q8_0`, or how many where there are several."""
    names = [load.ref.rpartition("/")[2] for load in loads]
    return names[0] if len(names) == 1 else f"{len(names)} models" if names else ""


def device_detail(device: Device) -> str:
    """One line such as “1,008 GB/s, driver 580.95”; empty where nothing is known."""
    parts = []
    if device.bandwidth_gb_s is not None:
        parts.append(f"{device.bandwidth_gb_s:,.0f} GB/s")
    if device.driver:
        parts.append(f"driver {device.driver}")
    return ", ".join(parts)


def holders(device: Device) -> tuple[str, ...]:
    """Programs that hold memory of a device, each once, largest first."""
    return tuple(dict.fromkeys(user.name for user in device.in_use_by if user.name))


def model_rows(
    choices: Iterable[Choice], models: Mapping[str, CatalogueModel], levers: Mapping[str, Sequence[Lever]] = NO_LEVERS
) -> tuple[ModelRow, ...]:
    """A row per quant, then those that cannot run here; `levers` are worked out for the selected row alone.

    None is on this disk yet: see `placed`. It takes milliseconds, and is made off the GUI thread.
    """
    rows = tuple(_row(choice, models.get(choice.model_id), levers.get(choice.ref, ())) for choice in choices)
    return (*rows, *(_not_runnable(model) for model in models.values() if model.not_runnable))


def placed(
    rows: Sequence[ModelRow],
    *,
    installed: Collection[str],
    downloading: Collection[str] = (),
    asking: Collection[str] = (),
    notes: Mapping[str, str] = NO_NOTES,
) -> tuple[ModelRow, ...]:
    """The rows with what is known of their files; the others stay the very same objects."""
    special = {*installed, *downloading, *asking, *notes}
    if not special:
        return tuple(rows)
    return tuple(
        row
        if row.ref not in special or row.state == "not_runnable"
        else replace(
            row,
            state=_state(row.ref, installed, downloading),
            asking=row.ref in asking,
            exact_note=notes.get(row.ref, ""),
        )
        for row in rows
    )


def _state(ref: str, installed: Collection[str], downloading: Collection[str]) -> RowState:
    if ref in installed:
        return "installed"
    return "downloading" if ref in downloading else "available"


def _row(choice: Choice, model: CatalogueModel | None, levers: Sequence[Lever]) -> ModelRow:
    fit, speed, quality = choice.fit, choice.speed, choice.quality
    source = next((each for each in model.quants if each.ref == choice.ref), None) if model is not None else None
    return ModelRow(
        ref=choice.ref,
        model=choice.model,
        quant=choice.quant,
        parameters=model.parameters if model is not None else None,
        file_bytes=choice.file_bytes,
        verdict=fit.verdict,
        gpu_layers=fit.gpu_layers,
        n_layers=fit.n_layers,
        n_ctx=fit.n_ctx,
        needs_bytes=needs_bytes(fit),
        missing_bytes=fit.missing_bytes,
        tok_s_low=speed.low_tok_s if speed is not None else None,
        tok_s_high=speed.high_tok_s if speed is not None else None,
        own_runs=speed.n_runs if speed is not None else 0,
        kld=quality.kld if quality is not None else None,
        quality_note=quality_note(quality),
        rank=choice.rank,
        reason=choice.reason,
        state="available",
        licence=model.licence.name if model is not None else "",
        licence_url=model.licence.url if model is not None else "",
        credit=model.licence.credit if model is not None else "",
        repo_url=f"{HUB}/{source.repo}" if source is not None else "",
        repo=source.repo if source is not None else "",
        size_exact=source.size_exact if source is not None else True,
        exact=fit.exact,
        parts=part_lines(fit),
        levers=lever_lines(levers, model),
    )


def needs_bytes(fit: Fit) -> int:
    """What lands on the device that the verdict is about: the GPUs together, or the machine's memory."""
    return sum(part.total_bytes for part in fit.gpus) if fit.verdict in ("gpu", "split") else fit.host.total_bytes


def part_lines(fit: Fit) -> tuple[PartLine, ...]:
    """Where the bytes land, GPUs first."""
    return tuple(_part(part) for part in (*fit.gpus, fit.host))


def _part(part: Part) -> PartLine:
    return PartLine(
        device=part.device.name,
        layers=part.layers,
        weights_bytes=part.weights_bytes,
        kv_bytes=part.kv_bytes,
        compute_bytes=part.compute_bytes,
        overhead_bytes=part.overhead_bytes,
        free_bytes=part.device.free_bytes,
    )


def lever_lines(levers: Sequence[Lever], model: CatalogueModel | None) -> tuple[LeverLine, ...]:
    """Levers as the page shows them; one that names a quant leads to that row."""
    refs = {each.quant: each.ref for each in model.quants} if model is not None else {}
    return tuple(
        LeverLine(
            kind=lever.kind,
            value=lever.value,
            verdict=lever.fit.verdict,
            gpu_layers=lever.fit.gpu_layers,
            saves_bytes=lever.saves_bytes,
            ref=refs.get(lever.value) if lever.kind == "quant" else None,
        )
        for lever in levers
    )


def quality_note(quality: Quality | None) -> str:
    """What was measured, where and by whom; empty where nothing was."""
    return "" if quality is None else f"Measured on {quality.measured_on}. Source: {quality.source}."


def _not_runnable(model: CatalogueModel) -> ModelRow:
    return ModelRow(
        ref=model.id,
        model=model.name,
        quant="",
        parameters=model.parameters,
        file_bytes=0,
        verdict="no",
        gpu_layers=0,
        n_layers=0,
        n_ctx=0,
        needs_bytes=0,
        missing_bytes=0,
        tok_s_low=None,
        tok_s_high=None,
        own_runs=0,
        kld=None,
        quality_note="",
        rank=None,
        reason=model.not_runnable,
        state="not_runnable",
        licence=model.licence.name,
        licence_url=model.licence.url,
        credit=model.licence.credit,
    )


def title_of(name: str, quant: str) -> str:
    """Model and quant; many a file's name has its quant in it already."""
    return name if quant.casefold() in name.casefold() else f"{name} {quant}"


def download_lines(downloads: Iterable[DownloadProgress], asking_hub: Collection[str] = ()) -> tuple[DownloadLine, ...]:
    return tuple(
        DownloadLine(
            ref=each.ref,
            title=title_of(each.name, each.quant),
            state=each.state,
            received_bytes=each.received_bytes,
            total_bytes=each.total_bytes,
            rate_bytes_s=each.rate_bytes_s,
            left_s=each.left_s,
            problem=each.problem,
            asking_hub=each.ref in asking_hub,
        )
        for each in downloads
    )


def installed_lines(
    models: Iterable[InstalledModel], *, checking: Mapping[str, float], seen: Mapping[str, FitSeen]
) -> tuple[InstalledLine, ...]:
    """`checking` is the share that was hashed so far, by ref; `seen` the last load of each."""
    return tuple(_installed(each, checking.get(each.ref), seen.get(each.ref)) for each in models)


def _installed(model: InstalledModel, checked_share: float | None, seen: FitSeen | None) -> InstalledLine:
    return InstalledLine(
        ref=model.ref,
        name=model.name,
        quant=model.quant,
        size_bytes=model.size_bytes,
        check=model.check if checked_share is None else "checking",
        checked_share=checked_share,
        origin=OWNERS.get(model.origin, ""),
        path=valid_text(str(model.path)),
        last_used_at=model.last_used_at,
        can_remove=model.origin in OWN,
        predicted_bytes=seen.predicted_bytes if seen is not None else None,
        real_bytes=seen.real_bytes if seen is not None else None,
    )


def download_share(downloads: Sequence[DownloadProgress]) -> float | None:
    """How much of what is being fetched now is here, 0 to 1; None while nothing runs or no size is known."""
    live = [each for each in downloads if each.state in ("running", "queued")]
    total = sum(each.total_bytes or 0 for each in live)
    return sum(each.received_bytes for each in live) / total if total else None
