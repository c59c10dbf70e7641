"""Values about the local engine: what the worker runs on, and how a model is to be loaded. Must not know processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.records import KvType

ChatFormat = Literal["gguf", "plain"]


@dataclass(frozen=True, slots=True)
class WorkerDevice:
    """A device as ggml names it; `kind` is cpu, gpu, igpu or accel. Memory in bytes, as the driver states it."""

    name: str
    description: str
    kind: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What the worker said hello with: the llama-cpp-python version, its backends and the devices they see."""

    version: str
    backends: tuple[str, ...]
    devices: tuple[WorkerDevice, ...]
    gpu_offload: bool


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model; None leaves the choice to the worker, which reports what it chose.

    `n_ctx` defaults to the smaller of the model's own context and 8,192; `n_gpu_layers` to all layers where this build
    can use a GPU; `n_threads` to the physical cores less one, or 1 for a model of under 50 MB; `n_batch`, the prompt
    tokens read at a time, to 512 with a GPU and 128 without.
    """

    n_ctx: int | None = None
    kv_type: KvType = "f16"
    n_gpu_layers: int | None = None
    n_threads: int | None = None
    n_batch: int | None = None
    chat_format: ChatFormat = "gguf"
