"""Values about the local engine: what the worker runs on, and how a model is to be loaded. Must not know processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.records import KvType

ChatFormat = Literal["gguf", "plain"]

DEFAULT_N_CTX = 8192
# Prompt tokens read at a time where a GPU takes part, and where none does: benchmarks/prefill.py has the table.
GPU_BATCH = 512
CPU_BATCH = 256
MAX_DEVICES = 16
MAX_PARALLEL = 64


@dataclass(frozen=True, slots=True)
class WorkerDevice:
    """A device as ggml names it; `kind` is cpu, gpu, igpu or accel. Memory in bytes, as the driver states it.

    `pci_id` is as ggml writes it, `0000:c1:00.0`; None where the backend does not know it. `free_bytes` is None where
    it was asked too long ago.
    """

    name: str
    description: str
    kind: str
    free_bytes: int | None
    total_bytes: int
    pci_id: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What the worker said hello with: the llama-cpp-python version, its backends and the devices they see."""

    version: str
    backends: tuple[str, ...]
    devices: tuple[WorkerDevice, ...]
    gpu_offload: bool


@dataclass(frozen=True, slots=True)
class DeviceRef:
    """A GPU to be found among those that llama.cpp sees: by PCI bus id, else by ggml's name for it (`CUDA0`), else as
    the `ordinal`-th, from 1, of those so described. A backend need not say a PCI bus id."""

    pci_id: str | None = None
    name: str | None = None
    description: str = ""
    ordinal: int = 1


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model; None leaves the choice to the worker, which reports what it chose.

    `n_ctx` defaults to the smaller of the model's own context and 8,192; `n_gpu_layers` to all layers where this build
    can use a GPU; `n_threads` to the physical cores less one (local/threads has the rule); `n_batch`, the prompt tokens
    read at a time, to 512 with a GPU and 256 without.

    `n_parallel` answers, from 1 to 64, can be under way at once, each with a context of `n_ctx` of its own.

    `devices` are the GPUs to use, in order; None takes all that llama.cpp sees, an empty tuple none at all.
    `tensor_split` shares the GPU layers out among them in proportion; None lets llama.cpp do it by free memory.
    """

    n_ctx: int | None = None
    kv_type: KvType = "f16"
    n_gpu_layers: int | None = None
    n_threads: int | None = None
    n_batch: int | None = None
    chat_format: ChatFormat = "gguf"
    devices: tuple[DeviceRef, ...] | None = None
    tensor_split: tuple[float, ...] | None = None
    n_parallel: int = 1


@dataclass(frozen=True, slots=True)
class MeasuredDevice:
    """What llama.cpp would take on one device; `name` is ggml's, `layers` counts the output layer. Bytes.

    Weights are exact; KV cache and compute buffers are to 0.01 MiB, as llama.cpp logs them.
    """

    name: str
    pci_id: str | None
    layers: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """A load that llama.cpp went through without taking memory; the machine's own memory is the last of `devices`."""

    devices: tuple[MeasuredDevice, ...]
    n_layers: int
    gpu_layers: int
    n_ctx: int
    engine_build: str
