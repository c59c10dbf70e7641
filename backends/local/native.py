"""Opens llama.cpp's C API inside the worker and asks it which devices there are. Must not know models or messages."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.devices.pci import plain_pci_id
from backends.local.facts import DeviceRef, WorkerDevice, WorkerFacts

DEVICE_KINDS = ("cpu", "gpu", "igpu", "accel", "meta")
GPU_KINDS = ("gpu", "igpu")
MAX_SHOWN_BYTES = 2**60


class _DeviceProps(ctypes.Structure):
    """ggml_backend_dev_props, with room to spare for capabilities that later versions add."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("caps", ctypes.c_bool * 64),
    )


class _NothingElse(ctypes.Structure):
    """`gguf_init_params` of gguf.h: the header alone, no tensors made of it."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


class Native:
    """`api` is the module of ctypes functions that llama-cpp-python declares; its types are not checked."""

    def __init__(self) -> None:
        self.api: Any = _import_api()
        self._ggml = self._ggml_library()
        self._register_backends()
        self.api.llama_backend_init()
        self.version = importlib.metadata.version("llama-cpp-python")
        self.build = f"llama-cpp-python {self.version}"

    @property
    def gpu_offload(self) -> bool:
        return bool(self.api.llama_supports_gpu_offload())

    def facts(self) -> WorkerFacts:
        ggml = self._ggml
        names = (ggml.ggml_backend_reg_name(ggml.ggml_backend_reg_get(i)) for i in range(ggml.ggml_backend_reg_count()))
        devices = tuple(self._device(handle) for handle in self._handles())
        return WorkerFacts(self.version, tuple(_text(name) for name in names), devices, self.gpu_offload)

    def find_gpus(self, wanted: Sequence[DeviceRef]) -> list[int]:
        """Handles of these GPUs, in order; raises LookupError, with its description, for one that is not there."""
        seen = [(handle, self._device(handle)) for handle in self._handles()]
        gpus = [(handle, device) for handle, device in seen if device.kind in GPU_KINDS]
        return [_find(ref, gpus) for ref in wanted]

    def tensor_sizes(self, path: Path) -> dict[str, int]:
        """Bytes of each tensor of a GGUF by name, as ggml itself reads them; raises OSError where it cannot."""
        ggml = self._ggml
        file = ggml.gguf_init_from_file(os.fsencode(path), _NothingElse(no_alloc=True, context=None))
        if not file:
            raise OSError(f"ggml cannot read {path.name}")
        try:
            return {
                _text(ggml.gguf_get_tensor_name(file, i)): int(ggml.gguf_get_tensor_size(file, i))
                for i in range(ggml.gguf_get_n_tensors(file))
            }
        finally:
            ggml.gguf_free(file)

    def _handles(self) -> list[int]:
        return [self._ggml.ggml_backend_dev_get(i) for i in range(self._ggml.ggml_backend_dev_count())]

    def _device(self, device: int) -> WorkerDevice:
        ggml = self._ggml
        free, total, props = ctypes.c_size_t(), ctypes.c_size_t(), _DeviceProps()
        ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        ggml.ggml_backend_dev_get_props(device, ctypes.byref(props))
        kind = ggml.ggml_backend_dev_type(device)
        return WorkerDevice(
            name=_text(ggml.ggml_backend_dev_name(device))[:128],
            description=_text(ggml.ggml_backend_dev_description(device))[:256],
            kind=DEVICE_KINDS[kind] if 0 <= kind < len(DEVICE_KINDS) else "other",
            free_bytes=min(free.value, MAX_SHOWN_BYTES),
            total_bytes=min(total.value, MAX_SHOWN_BYTES),
            pci_id=_text(props.device_id)[:64] or None,
        )

    def _register_backends(self) -> None:
        """A build with loadable backends would search the current folder for libraries; name its own folder first."""
        if self._ggml.ggml_backend_reg_count() == 0:
            self._ggml.ggml_backend_load_all_from_path(os.fsencode(_library_folder(self.api)))

    def _ggml_library(self) -> Any:
        """ggml's functions. They must come from the copy that libllama is linked with: it owns the registry."""
        library = self.api._lib
        if not hasattr(library, "ggml_backend_reg_count"):  # Windows looks up a library's own names only
            extensions = importlib.import_module("llama_cpp._ctypes_extensions")
            library = extensions.load_shared_library("ggml", _library_folder(self.api))
        _declare(library)
        return library


def _find(ref: DeviceRef, gpus: Sequence[tuple[int, WorkerDevice]]) -> int:
    pci_id = plain_pci_id(ref.pci_id)
    for handle, gpu in gpus:
        if pci_id is not None and plain_pci_id(gpu.pci_id) == pci_id:
            return handle
    # A GPU that says another bus id is another one, whatever it is called.
    nameless = [(handle, gpu) for handle, gpu in gpus if pci_id is None or plain_pci_id(gpu.pci_id) is None]
    for handle, gpu in nameless:
        if ref.name is not None and gpu.name == ref.name:
            return handle
    alike = [handle for handle, gpu in nameless if gpu.description == ref.description]
    if not 0 < ref.ordinal <= len(alike):
        raise LookupError(ref.description or ref.name or ref.pci_id or "that GPU")
    return alike[ref.ordinal - 1]


def _import_api() -> Any:
    """`llama_cpp.llama_cpp` without its package's __init__, which brings numpy, diskcache and 0.3 s for nothing."""
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None:
            raise ModuleNotFoundError("llama-cpp-python is not installed")
        sys.modules["llama_cpp"] = importlib.util.module_from_spec(spec)
    return importlib.import_module("llama_cpp.llama_cpp")


def _library_folder(api: Any) -> Path:
    return Path(api._base_path)


def _declare(ggml: Any) -> None:
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    declarations: dict[str, tuple[list[Any], Any]] = {
        "ggml_backend_reg_count": ([], size),
        "ggml_backend_reg_get": ([size], pointer),
        "ggml_backend_reg_name": ([pointer], text),
        "ggml_backend_dev_count": ([], size),
        "ggml_backend_dev_get": ([size], pointer),
        "ggml_backend_dev_name": ([pointer], text),
        "ggml_backend_dev_description": ([pointer], text),
        "ggml_backend_dev_type": ([pointer], ctypes.c_int),
        "ggml_backend_dev_memory": ([pointer, ctypes.POINTER(size), ctypes.POINTER(size)], None),
        "ggml_backend_dev_get_props": ([pointer, ctypes.POINTER(_DeviceProps)], None),
        "ggml_backend_load_all_from_path": ([text], None),
        "gguf_init_from_file": ([text, _NothingElse], pointer),
        "gguf_free": ([pointer], None),
        "gguf_get_n_tensors": ([pointer], ctypes.c_int64),
        "gguf_get_tensor_name": ([pointer, ctypes.c_int64], text),
        "gguf_get_tensor_size": ([pointer, ctypes.c_int64], size),
    }
    for name, (arguments, result) in declarations.items():
        function = getattr(ggml, name)
        function.argtypes, function.restype = arguments, result


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
