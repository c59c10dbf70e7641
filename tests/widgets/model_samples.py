"""Rich values for the Models page: catalogues judged for machines. The arithmetic is rough; only its looks count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from backends.errors import Problem
from backends.records import KvType
from tests.widgets.samples import NOW
from widgets.model_values import (
    ClosestModel,
    DeviceBar,
    DownloadLine,
    InstalledLine,
    LeverLine,
    MachineView,
    ModelRow,
    ModelsView,
    PartLine,
    Rank,
    Verdict,
)

GIB, MIB = 2**30, 2**20
QUANTS: tuple[tuple[str, float, float], ...] = (
    # quant, bits per weight, KLD
    ("Q2_K", 3.16, 0.3322), ("IQ3_M", 3.76, 0.1025), ("Q3_K_M", 4.0, 0.0844), ("IQ4_XS", 4.46, 0.0363),
    ("Q4_0", 4.65, 0.0719), ("Q4_K_S", 4.67, 0.032), ("Q4_K_M", 4.89, 0.0282), ("Q5_K_S", 5.5, 0.0166),
    ("Q5_K_M", 5.7, 0.0108), ("Q6_K", 6.56, 0.0055), ("Q8_0", 8.5, 0.0014), ("F16", 16.0, 0.0006),
)  # fmt: skip
MODELS: tuple[tuple[str, str, int, int, int, int], ...] = (
    # id, name, parameters, layers with output, KV bytes per token, own context
    ("llama-3.3-70b", "Llama 3.3 70B Instruct", 70_553_706_496, 81, 327_680, 131072),
    ("llama-3.1-405b", "Llama 3.1 405B Instruct", 405_853_388_800, 127, 516_096, 131072),
    ("llama-3.1-70b", "Llama 3.1 70B Instruct", 70_553_706_496, 81, 327_680, 131072),
    ("llama-3.1-8b", "Llama 3.1 8B Instruct", 8_030_261_248, 33, 131_072, 131072),
    ("llama-3.2-3b", "Llama 3.2 3B Instruct", 3_212_749_824, 29, 114_688, 131072),
    ("llama-3.2-1b", "Llama 3.2 1B Instruct", 1_235_814_400, 17, 32_768, 131072),
    ("llama-3-70b", "Llama 3 70B Instruct", 70_553_706_496, 81, 327_680, 8192),
    ("llama-3-8b", "Llama 3 8B Instruct", 8_030_261_248, 33, 131_072, 8192),
)
KV_SHARE: dict[KvType, float] = {"f16": 1.0, "q8_0": 34 / 64, "q4_0": 18 / 64}
OVERHEAD, COMPUTE, RESERVE = 420 * MIB, 259 * MIB, 512 * MIB
NOTE = "Measured on Llama 3 8B, Wikitext-2, by the llama.cpp project."
NO_BACKEND = Problem(
    "build_without_gpu",
    "llama.cpp was built for the processor only, so the GPU cannot be used.",
    "Models still run, on the processor.",
    "Build it for the GPU: `make setup GPU=cuda`",
)
REBOOT = Problem(
    "driver_mismatch",
    "The NVIDIA driver was updated and does not match the one that runs.",
    "Your files are untouched.",
    "Restart this machine.",
)
MISMATCH = Problem(
    "file_mismatch",
    "The file that arrived is not the one that was announced.",
    "The damaged file was removed; no other file was touched.",
    "Try again later; if it stays so, the file on the server has changed.",
)


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """GB/s of the GPUs and of the main memory."""

    gpu: float
    host: float


def gpu(name: str, total_gib: float, used_gib: float, detail: str, users: tuple[str, ...] = ()) -> DeviceBar:
    total, used = round(total_gib * GIB), round(used_gib * GIB)
    return DeviceBar(name, "gpu", total, used, total - used - 200 * MIB, detail=detail, in_use_by=users)


def ram(total_gib: float, used_gib: float, name: str = "AMD Ryzen 9 7950X") -> DeviceBar:
    total, used = round(total_gib * GIB), round(used_gib * GIB)
    return DeviceBar(name, "cpu", total, used, total - used, detail="16 cores, AVX512, 61 GB/s measured")


RTX_4090 = MachineView(
    (
        gpu("NVIDIA GeForce RTX 4090", 24, 9.1, "driver 580.95, CUDA 13.0, 1,008 GB/s", ("python3", "Xorg", "firefox")),
        ram(64, 19.4),
    )
)
TWO_3090 = MachineView(
    (
        gpu("NVIDIA GeForce RTX 3090", 24, 0.6, "driver 575.64, 936 GB/s", ("Xorg",)),
        gpu("NVIDIA GeForce RTX 3090", 24, 0.1, "driver 575.64, 936 GB/s"),
        ram(128, 22.0),
    )
)
NO_GPU = MachineView((ram(16, 6.3, "Intel Core i5-1240P"),))
EIGHT_H100 = MachineView(
    (
        *(gpu("NVIDIA H100 80GB HBM3", 79.6, 0.5 + 3 * (at == 2), "driver 580.95, 3,352 GB/s") for at in range(8)),
        ram(2016, 120, "2 × Intel Xeon Platinum 8480C"),
    )
)
TINY = MachineView((ram(2, 1.75, "Intel Celeron N4020"),))
SHARED = MachineView(
    (
        DeviceBar("NVIDIA GB10", "gpu", 119 * GIB, 18 * GIB, 101 * GIB, shared=True, detail="273 GB/s"),
        DeviceBar("Cortex-X925", "cpu", 119 * GIB, 18 * GIB, 101 * GIB, shared=True),
    )
)
BUILD_PROBLEM = replace(RTX_4090, problems=(NO_BACKEND, REBOOT))
SPEEDS = {
    "4090": Bandwidth(1008, 61),
    "3090": Bandwidth(936, 61),
    "none": Bandwidth(0, 51),
    "h100": Bandwidth(1800, 300),
}


def file_bytes(parameters: int, bits: float) -> int:
    return round(parameters * bits / 8) + 8 * 10**6


def row(
    machine: MachineView, speed: Bandwidth, model: tuple[str, str, int, int, int, int],
    quant: tuple[str, float, float], n_ctx: int, kv_type: KvType,
) -> ModelRow:  # fmt: skip
    """One quant judged: GPUs filled in order, the rest in main memory."""
    ident, name, parameters, layers, kv_token, own_ctx = model
    label, bits, kld = quant
    size, ctx = file_bytes(parameters, bits), min(n_ctx, own_ctx)
    kv = round(kv_token * ctx * KV_SHARE[kv_type])
    gpus = [device for device in machine.devices if device.kind == "gpu"]
    host = next(device for device in machine.devices if device.kind == "cpu")
    room = [max(0, (each.free_bytes or 0) - RESERVE - OVERHEAD - COMPUTE) for each in gpus]
    per_layer = (size + kv) / layers
    fit_layers = [int(each // per_layer) for each in room]
    on_gpu = min(layers, sum(fit_layers))
    rest = round(per_layer * (layers - on_gpu))
    free = (host.free_bytes or 0) - RESERVE
    missing = max(0, rest + 150 * MIB - free)
    verdict: Verdict = "no" if missing else "gpu" if on_gpu == layers else "split" if on_gpu else "ram"
    lines, left = [], on_gpu
    for device, most in zip(gpus, fit_layers, strict=True):
        here = min(left, most)
        left -= here
        if here:
            lines.append(_part(device, here, layers, size, kv))
    lines.append(_part(host, layers - on_gpu, layers, size, kv, host=True))
    needs = sum(p.weights_bytes + p.kv_bytes + p.compute_bytes + p.overhead_bytes for p in lines)
    ms = (
        1.0
        + (size * on_gpu / layers) / (0.8 * max(speed.gpu, 1) * 1e6)
        + (size - size * on_gpu / layers) / (0.8 * speed.host * 1e6)
    )
    middle = 1000 / ms
    return ModelRow(
        ref=f"{ident}:{label}", model=name, quant=label, parameters=parameters, file_bytes=size, verdict=verdict,
        gpu_layers=on_gpu, n_layers=layers, n_ctx=ctx, needs_bytes=needs, missing_bytes=missing,
        tok_s_low=middle * 0.78, tok_s_high=middle * 1.2, own_runs=0, kld=kld, quality_note=NOTE, rank=None, reason="",
        state="available", licence="Llama 3.1 Community License", repo=f"bartowski/{name.replace(' ', '-')}-GGUF",
        size_exact=label not in ("IQ3_M", "Q4_0"), parts=tuple(lines), levers=_levers(ident, verdict, layers, size, kv),
        licence_url="https://www.llama.com/llama3_1/license/", repo_url="https://huggingface.co/bartowski",
        credit="Built with Llama",
    )  # fmt: skip


def _part(device: DeviceBar, here: int, layers: int, size: int, kv: int, *, host: bool = False) -> PartLine:
    share = here / layers
    extra = (30 * MIB, 150 * MIB) if host else (COMPUTE, OVERHEAD)
    weights = round(size * share) + (280 * MIB if host else 0)
    return PartLine(device.name, here, weights, round(kv * share), *extra, device.free_bytes)


def _levers(ident: str, verdict: Verdict, layers: int, size: int, kv: int) -> tuple[LeverLine, ...]:
    if verdict == "gpu":
        return ()
    better: Verdict = "gpu" if verdict == "split" else "split"
    return (
        LeverLine("quant", "Q4_K_M", better, layers, round(size * 0.3), f"{ident}:Q4_K_M"),
        LeverLine("context", "4096", better, layers - 2, round(kv * 0.5)),
        LeverLine("kv_type", "q8_0", verdict, layers - 6, round(kv * 0.47)),
    )


def ranked(rows: list[ModelRow], ref: str, rank: Rank, reason: str) -> None:
    at = next(at for at, each in enumerate(rows) if each.ref == ref)
    rows[at] = replace(rows[at], rank=rank, reason=reason)


VISION = ModelRow(
    ref="llama-3.2-11b-vision:Q4_K_M", model="Llama 3.2 11B Vision", quant="Q4_K_M", parameters=10_600_000_000,
    file_bytes=6_500_000_000, verdict="no", gpu_layers=0, n_layers=40, n_ctx=8192, needs_bytes=0, missing_bytes=0,
    tok_s_low=None, tok_s_high=None, own_runs=0, kld=None, quality_note="", rank=None,
    reason="llama.cpp does not support the Llama 3.2 Vision models.", state="not_runnable", size_exact=False,
)  # fmt: skip


def rows(machine: MachineView, speed: Bandwidth, n_ctx: int = 8192, kv_type: KvType = "f16") -> list[ModelRow]:
    """The whole catalogue for a machine, nothing ranked, nothing installed."""
    made = [row(machine, speed, model, quant, n_ctx, kv_type) for model in MODELS for quant in QUANTS]
    return [*made, VISION]


def wanted(view: ModelsView, ref: str) -> ModelsView:
    """The bars with what a row would take."""
    found = next(each for each in view.rows if each.ref == ref)
    spare = list(found.parts)
    devices = []
    for device in view.machine.devices:
        part = next((each for each in spare if each.device == device.name), None)
        if part is not None:
            spare.remove(part)
            total = part.weights_bytes + part.kv_bytes + part.compute_bytes + part.overhead_bytes
            device = replace(device, wanted_bytes=total)
        devices.append(device)
    return replace(view, machine=replace(view.machine, devices=tuple(devices)), wanted_ref=ref)


FIRST = "The best quality that fits whole into the free memory of the GPU at this context, at well above reading speed."
FASTER = "About three times as fast, for quick questions."
BETTER = "Knows more, but part of it runs on the processor, so it writes slowly."


def on_4090(n_ctx: int = 8192, kv_type: KvType = "f16") -> ModelsView:
    """A card partly used by others, some models here, one download of each kind."""
    made = rows(RTX_4090, SPEEDS["4090"], n_ctx, kv_type)
    ranked(made, "llama-3.1-8b:Q8_0", 1, FIRST)
    ranked(made, "llama-3.2-3b:Q8_0", 2, FASTER)
    ranked(made, "llama-3.3-70b:Q3_K_M", 3, BETTER)
    for at, each in enumerate(made):
        if each.ref == "llama-3.2-3b:Q8_0":
            made[at] = replace(each, state="installed", own_runs=12, tok_s_low=171.0, tok_s_high=178.0)
        if each.ref == "llama-3.1-8b:Q4_K_M":
            made[at] = replace(each, state="downloading")
    view = ModelsView(
        RTX_4090, tuple(made), (), INSTALLED, n_ctx, kv_type, "/home/maria/.local/share/nearfar/models", 412 * GIB
    )
    return wanted(view, "llama-3.1-8b:Q8_0")


def on_two_3090() -> ModelsView:
    made = rows(TWO_3090, SPEEDS["3090"])
    ranked(made, "llama-3.3-70b:Q4_K_M", 1, "The best quality that fits whole on both GPUs together at this context.")
    ranked(made, "llama-3.1-8b:Q8_0", 2, FASTER)
    view = ModelsView(TWO_3090, tuple(made), (), (), folder="/srv/models", folder_free_bytes=31 * GIB)
    return wanted(view, "llama-3.3-70b:Q4_K_M")


def without_gpu() -> ModelsView:
    made = rows(NO_GPU, SPEEDS["none"])
    ranked(made, "llama-3.2-3b:Q4_K_M", 1, "This machine has no GPU. This model still writes at reading speed.")
    ranked(made, "llama-3.2-1b:Q6_K", 2, FASTER)
    ranked(made, "llama-3.1-8b:Q4_K_M", 3, "Better answers, at about the speed you read.")
    view = ModelsView(NO_GPU, tuple(made), folder="C:\\Users\\Maria\\AppData\\Local\\Nearfar\\models")
    return wanted(view, "llama-3.2-3b:Q4_K_M")


def on_eight_h100() -> ModelsView:
    made = rows(EIGHT_H100, SPEEDS["h100"], 131072)
    ranked(made, "llama-3.1-405b:Q8_0", 1, "The largest model of the catalogue fits whole on these GPUs.")
    ranked(made, "llama-3.3-70b:Q8_0", 2, FASTER)
    view = ModelsView(EIGHT_H100, tuple(made), n_ctx=131072, folder="/data/models", folder_free_bytes=9000 * GIB)
    return wanted(view, "llama-3.1-405b:Q8_0")


def nothing_fits() -> ModelsView:
    made = rows(TINY, SPEEDS["none"], 131072)
    at = next(at for at, each in enumerate(made) if each.ref == "llama-3.2-1b:Q2_K")
    lever = LeverLine("context", "4096", "ram", 0, 4 * GIB)
    made[at] = replace(made[at], missing_bytes=412 * MIB)
    view = ModelsView(TINY, tuple(made), n_ctx=131072, folder="/home/maria/models", folder_free_bytes=6 * GIB)
    return replace(view, closest=ClosestModel(made[at].ref, lever))


INSTALLED = (
    InstalledLine(
        "llama-3.2-3b:Q8_0", "Llama 3.2 3B Instruct", "Q8_0", 3_421_899_296, "verified", None, "",
        "/home/maria/.local/share/nearfar/models/Llama-3.2-3B-Instruct-Q8_0.gguf", NOW - timedelta(hours=2), True,
        4_712_000_000, 4_689_000_000,
    ),
    InstalledLine(
        "file:mistral", "Mistral 7B Instruct v0.3", "Q4_K_M", 4_372_811_936, "unverified", None, "LM Studio",
        "/home/maria/.lmstudio/models/lmstudio-community/Mistral-7B-Instruct-v0.3-GGUF/Mistral-7B.gguf", None, False,
    ),
    InstalledLine(
        "llama-3.1-70b:Q4_K_M", "Llama 3.1 70B Instruct", "Q4_K_M", 42_520_395_008, "checking", 0.42, "",
        "/home/maria/.local/share/nearfar/models/Meta-Llama-3.1-70B-Instruct-Q4_K_M.gguf",
        NOW - timedelta(days=1), True,
    ),
    InstalledLine(
        "file:old", "tiny-story", None, 91_000_000, "missing", None, "", "/media/usb/tiny-story.gguf", None, True,
    ),
)  # fmt: skip
DOWNLOADS = (
    DownloadLine(
        "llama-3.1-8b:Q4_K_M", "Llama 3.1 8B Instruct, Q4_K_M", "running", 2_011_000_000, 4_920_739_232, 40_200_000, 72
    ),
    DownloadLine("llama-3.1-8b:Q6_K", "Llama 3.1 8B Instruct, Q6_K", "paused", 812_000_000, 6_596_006_304),
    DownloadLine("llama-3.2-1b:Q8_0", "Llama 3.2 1B Instruct, Q8_0", "failed", 0, 1_321_082_528, problem=MISMATCH),
    DownloadLine("llama-3.3-70b:Q4_K_M", "Llama 3.3 70B Instruct, Q4_K_M", "queued", 0, 42_520_398_432),
    DownloadLine("llama-3.2-3b:Q4_K_M", "Llama 3.2 3B Instruct, Q4_K_M", "done", 2_019_377_696, 2_019_377_696),
)
