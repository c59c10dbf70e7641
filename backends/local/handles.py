"""Opens a GGUF and its one context through llama.cpp's C API, for real or to measure it. Must not know messages.

A real load and a measurement take one way through the same parameters; a measurement only adds that llama.cpp takes no
memory (`no_alloc`), and then says in its log what it would have taken.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backends.errors import ModelUnusable
from backends.local.endings import memory_ran_out
from backends.local.facts import CPU_BATCH, DEFAULT_N_CTX, GPU_BATCH, LoadOptions
from backends.local.log_capture import LogCapture, read_figures
from backends.local.native import Native
from backends.local.threads import machine_cores, threads_for, usable_cores
from backends.records import KvType

ALL_LAYERS = -1


class LoadCancelled(Exception):
    """The person stopped the load."""


class AbortFlag:
    """One byte that llama.cpp itself reads between graph nodes, without calling Python.

    The callback has to be `bool f(void *)`; C's `strlen` on a buffer of one character is such a function. `byte[0]`
    is what it reads, for loops in which a property would cost too much.
    """

    def __init__(self, api: Any) -> None:
        self.byte = ctypes.create_string_buffer(2)
        library = ctypes.CDLL("ucrtbase" if hasattr(ctypes, "WinDLL") else None)
        self.callback = ctypes.cast(library.strlen, api.ggml_abort_callback)
        self.data = ctypes.cast(self.byte, ctypes.c_void_p)

    @property
    def is_set(self) -> bool:
        return self.byte[0] != b"\0"

    def set(self) -> None:
        self.byte[0] = b"\1"

    def clear(self) -> None:
        self.byte[0] = b"\0"


class Handles:
    """Native weights and context. `close` frees both; every method may raise ModelError or LoadCancelled."""

    def __init__(
        self, native: Native, log: LogCapture, abort: AbortFlag, path: Path, *, takes_memory: bool = True
    ) -> None:
        self.api = native.api
        self.abort = abort
        self.native = native
        self.log = log
        self.path = path
        self.model: Any = None
        self.context: Any = None
        self.vocab: Any = None
        self.n_vocab = self.n_batch = self.n_ctx = self.n_threads = 0
        self.n_parallel = 1
        self._takes_memory = takes_memory
        self._threads_are_chosen = False
        self._all_threads = 0

    def close(self) -> None:
        self.close_context()
        if self.model is not None:
            self.api.llama_model_free(self.model)
            self.model = None

    def close_context(self) -> None:
        if self.context is not None:
            self.api.llama_free(self.context)
            self.context = None

    def open_weights(self, options: LoadOptions, on_progress: Callable[[float], None] | None = None) -> None:
        api, abort = self.api, self.abort

        def progressed(fraction: float, _user_data: object) -> bool:
            if on_progress is not None:
                on_progress(fraction)
            return not abort.is_set

        callback = api.llama_progress_callback(progressed)
        parameters = api.llama_model_default_params()
        parameters.progress_callback = callback
        keep = self._place(parameters, options)
        if not self._takes_memory:
            parameters.no_alloc = True
            parameters.load_mode = api.LLAMA_LOAD_MODE_NONE  # a mapped file would not be "no memory" to llama.cpp
        self.model = api.llama_model_load_from_file(os.fsencode(self.path), parameters) or None
        del keep
        if abort.is_set:
            raise LoadCancelled
        if self.model is None:
            raise self.unusable("llama.cpp could not load this model")
        self.vocab = api.llama_model_get_vocab(self.model)
        self.n_vocab = int(api.llama_vocab_n_tokens(self.vocab))

    def open_context(self, options: LoadOptions) -> None:
        api = self.api
        trained = int(api.llama_model_n_ctx_train(self.model))
        wanted = min(options.n_ctx or DEFAULT_N_CTX, trained or DEFAULT_N_CTX)
        on_gpu = read_figures(self.log.lines()).gpu_layers > 0
        self.n_parallel = options.n_parallel
        self.n_batch = max(min(options.n_batch or (GPU_BATCH if on_gpu else CPU_BATCH), wanted), self.n_parallel)
        self.n_threads = options.n_threads or self._threads()
        self._all_threads = self.n_threads
        self._threads_are_chosen = options.n_threads is not None
        parameters = api.llama_context_default_params()
        parameters.n_ctx = wanted * self.n_parallel
        parameters.n_seq_max = self.n_parallel
        parameters.kv_unified = False  # a stream for each: attention over one stream read all answers' tokens for each
        parameters.n_batch = parameters.n_ubatch = self.n_batch
        # One row of logits for each answer: halves the compute buffer of a large vocabulary.
        parameters.n_outputs_max = self.n_parallel
        parameters.n_threads = parameters.n_threads_batch = self.n_threads
        parameters.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.type_k = parameters.type_v = _ggml_type(api, options.kv_type)
        parameters.abort_callback = self.abort.callback
        parameters.abort_callback_data = self.abort.data
        parameters.no_perf = False
        self.context = api.llama_init_from_model(self.model, parameters) or None
        if self.context is None:
            raise self.unusable("There is not enough memory for this context")
        # llama.cpp rounds a context up to 256 tokens; beyond what was asked or trained for nothing is promised.
        self.n_ctx = min(int(api.llama_n_ctx_seq(self.context)), wanted)

    @property
    def has_all_threads(self) -> bool:
        """False while it gives way: what is computed then adds up in another order."""
        return self.n_threads == self._all_threads

    def share_cores(self, busy_cores: float) -> None:
        """Compute the next run with fewer threads where other programs use `busy_cores`; all of them again at 0.

        Does nothing where the number of threads was asked for.
        """
        if not self._threads_are_chosen and (n_threads := self._threads(busy_cores)) != self.n_threads:
            self.n_threads = n_threads
            self.api.llama_set_n_threads(self.context, n_threads, n_threads)

    def _threads(self, busy_cores: float = 0.0) -> int:
        return threads_for(usable_cores(), int(self.api.llama_model_size(self.model)), busy_cores, machine_cores())

    def unusable(self, what: str) -> ModelUnusable:
        """The cause as a sentence: memory, an unknown architecture, else llama.cpp's own last error."""
        errors = self.log.errors()
        if memory_ran_out("\n".join(errors)):
            return ModelUnusable(f"There is not enough memory to run {self.path.name}.")
        last = next((line for line in errors if "error" in line.lower()), errors[-1] if errors else "")
        return ModelUnusable(f"{what} ({last[:300]})." if last else f"{what}.")

    def _place(self, parameters: Any, options: LoadOptions) -> list[object]:
        """Layers, GPUs and their shares; returns what must outlive the call. llama.cpp copies the shares."""
        wanted = ALL_LAYERS if options.n_gpu_layers is None else options.n_gpu_layers
        no_gpu = options.devices == () or not self.native.gpu_offload
        parameters.n_gpu_layers = 0 if no_gpu else wanted
        keep: list[object] = []
        if options.devices is not None:
            try:
                gpus = self.native.find_gpus(options.devices)
            except LookupError as missing:
                raise ModelUnusable(
                    f"llama.cpp does not see {missing.args[0]}, on which this model was to run.",
                    fix="Choose another device, or see `nearfar doctor` for what llama.cpp was built for.",
                ) from None
            handles = (ctypes.c_void_p * (len(gpus) + 1))(*gpus)
            parameters.devices = ctypes.cast(handles, ctypes.c_void_p)
            keep.append(handles)
        if options.tensor_split is not None and not no_gpu:
            shares = (ctypes.c_float * int(self.api.llama_max_devices()))(*options.tensor_split)
            parameters.tensor_split = shares
            keep.append(shares)
        return keep


def _ggml_type(api: Any, kv_type: KvType) -> int:
    types = {"f16": api.GGML_TYPE_F16, "q8_0": api.GGML_TYPE_Q8_0, "q4_0": api.GGML_TYPE_Q4_0}
    return int(types[kv_type])
