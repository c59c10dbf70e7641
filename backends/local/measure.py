"""Asks llama.cpp what a load would take, without taking it. Must not know messages, nor what is free.

llama.cpp logs compute buffers, the size of the KV cache and where each layer lies; it does not log weights that it did
not load, so those are added up from the file's own tensor table, read by ggml's reader of GGUF.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.errors import ModelUnusable
from backends.local.facts import LoadOptions, MeasuredDevice, Measurement
from backends.local.gguf_check import check_model_file
from backends.local.handles import AbortFlag, Handles
from backends.local.log_capture import HOST, DeviceFigures, LogCapture, read_devices, read_kv_bytes
from backends.local.native import Native

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
MAX_PARTS = 1000
PIPELINE_COPIES = 4  # GGML_SCHED_MAX_COPIES
_LAYER = re.compile(r"blk\.(\d+)\.")
_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class _Key:
    """What the weights depend on; a change of anything else needs a new context only."""

    path: Path
    stamp: tuple[int, int] | None
    options: LoadOptions


def _key(path: Path, options: LoadOptions) -> _Key:
    try:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
    except OSError:  # the check of the file says what is wrong with it
        stamp = None
    placed = LoadOptions(n_gpu_layers=options.n_gpu_layers, devices=options.devices, tensor_split=options.tensor_split)
    return _Key(path, stamp, placed)


class Measurer:
    """Keeps the last model open, since one model is asked about at many contexts; `close` lets it go."""

    def __init__(self, native: Native, log: LogCapture, abort: AbortFlag) -> None:
        self._native = native
        self._log = log
        self._abort = abort
        self._key: _Key | None = None
        self._handles: Handles | None = None
        self._lines: list[str] = []
        self._tensors: Mapping[str, int] = {}

    def close(self) -> None:
        self._key = None
        handles, self._handles = self._handles, None
        if handles is not None:
            handles.close()

    def measure(self, path: Path, options: LoadOptions) -> Measurement:
        """Raises ModelError where the file, or llama.cpp, says no, and LoadCancelled."""
        handles = self._open(path, options)
        self._log.clear()
        for line in self._lines:
            self._log.keep(line)
        try:
            handles.open_context(options)
        finally:
            handles.close_context()
        lines = self._log.lines()
        return self._measurement(handles, read_devices(lines), read_kv_bytes(lines))

    def _open(self, path: Path, options: LoadOptions) -> Handles:
        key = _key(path, options)
        if self._handles is not None and key == self._key:
            return self._handles
        self.close()
        check_model_file(path)
        self._log.clear()
        handles = Handles(self._native, self._log, self._abort, path, takes_memory=False)
        try:
            handles.open_weights(options)
            self._tensors = self._read_tensors(path)
        except BaseException:
            handles.close()
            raise
        self._handles, self._key, self._lines = handles, key, self._log.lines()
        return handles

    def _measurement(self, handles: Handles, devices: tuple[DeviceFigures, ...], kv_bytes: int | None) -> Measurement:
        n_repeating = int(self._native.api.llama_model_n_layer(handles.model))
        if kv_bytes is None:
            raise ModelUnusable("llama.cpp did not say how large this model's context would be.")
        n_elements = handles.n_batch * int(self._native.api.llama_model_n_embd(handles.model))
        surplus = _surplus(self._log.lines(), devices, n_elements, n_repeating)
        ids = {device.name: device.pci_id for device in self._native.facts().devices if device.name != HOST}
        return Measurement(
            devices=tuple(
                MeasuredDevice(
                    name=device.name,
                    pci_id=ids.get(device.name),
                    layers=len(device.layers),
                    weights_bytes=_weights_on(device, self._tensors, n_repeating),
                    kv_bytes=kv_bytes * sum(layer < n_repeating for layer in device.layers) // n_repeating,
                    compute_bytes=max(0, (device.compute_bytes or 0) - surplus.get(device.name, 0)),
                )
                for device in devices
            ),
            n_layers=n_repeating + 1,
            gpu_layers=sum(len(device.layers) for device in devices if device.name != HOST),
            n_ctx=handles.n_ctx,
            engine_build=self._native.build,
        )

    def _read_tensors(self, path: Path) -> Mapping[str, int]:
        sizes: dict[str, int] = {}
        for part in _parts(path):
            sizes |= self._native.tensor_sizes(part)
        return sizes


def _parts(path: Path) -> Iterable[Path]:
    found = _PART.search(path.name)
    count = int(found[1]) if found else 1
    if found is None or not 1 < count <= MAX_PARTS:
        return (path,)
    stem = path.name[: found.start()]
    return [path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def _surplus(
    lines: Iterable[str], devices: Sequence[DeviceFigures], n_elements: int, n_repeating: int
) -> dict[str, int]:
    """What llama.cpp says too much of several GPUs that work on several batches at a time.

    A real load tells the scheduler to compute a layer's norm on that layer's GPU. One that takes no memory makes the
    scheduler forget it (`ggml_backend_sched_reserve_size` begins with a reset), so each GPU but the first gets a copy
    of one more input, of 32-bit floats, for each of the batches under way.
    """
    if not any("pipeline parallelism enabled" in line for line in lines):
        return {}
    later = [device for device in devices[1:] if device.layers and device.layers[0] < n_repeating]
    return {device.name: PIPELINE_COPIES * n_elements * 4 for device in later}


def _weights_on(device: DeviceFigures, tensors: Mapping[str, int], n_repeating: int) -> int:
    """Where llama.cpp puts each tensor: the input embedding on the host, all else with its layer.

    A tied output matrix is the embedding once more, unless both are on the host.
    """
    on_host = device.name == HOST
    layers = frozenset(device.layers)
    total = 0
    for name, size in tensors.items():
        layer = _LAYER.match(name)
        if name == EMBEDDING:
            repeated = OUTPUT not in tensors and n_repeating in layers
            total += size if on_host or repeated else 0
        elif name.startswith("rope_"):  # a small table, once on every device that needs it
            total += size if any(number < n_repeating for number in layers) else 0
        elif (int(layer[1]) if layer else n_repeating) in layers:
            total += size
    return total
