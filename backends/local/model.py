"""Loads one GGUF through llama.cpp's C API and reports what it really uses. Must not know messages or processes."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from backends.errors import ModelUnusable
from backends.local.endings import memory_ran_out
from backends.local.facts import LoadOptions
from backends.local.gguf_check import check_model_file
from backends.local.log_capture import LogCapture, LogFigures, read_figures
from backends.local.native import Native
from backends.local.template import ChatTemplate, TemplateUnusable
from backends.records import EngineReport, KvType, Message

DEFAULT_N_CTX = 8192
GPU_BATCH = 512
CPU_BATCH = 128
ALL_LAYERS = -1
SMALL_MODEL_BYTES = 50_000_000
NS_PER_MS = 1_000_000
MAX_TEMPLATE_BYTES = 262_144
TRIAL = (Message("user", "Hello"),)


class LoadCancelled(Exception):
    """The person stopped the load."""


class AbortFlag:
    """One byte that llama.cpp itself reads between graph nodes, without calling Python.

    The callback has to be `bool f(void *)`; C's `strlen` on a buffer of one character is such a function.
    """

    def __init__(self, api: Any) -> None:
        self._byte = ctypes.create_string_buffer(2)
        library = ctypes.CDLL("ucrtbase" if hasattr(ctypes, "WinDLL") else None)
        self.callback = ctypes.cast(library.strlen, api.ggml_abort_callback)
        self.data = ctypes.cast(self._byte, ctypes.c_void_p)

    @property
    def is_set(self) -> bool:
        return self._byte[0] != b"\0"

    def set(self) -> None:
        self._byte[0] = b"\1"

    def clear(self) -> None:
        self._byte[0] = b"\0"


class LoadedModel:
    """A model and its one context. `close` frees both; raises ModelError or LoadCancelled from the constructor."""

    def __init__(
        self,
        native: Native,
        log: LogCapture,
        abort: AbortFlag,
        path: Path,
        name: str,
        options: LoadOptions,
        on_progress: Callable[[float], None],
    ) -> None:
        started_ns = time.monotonic_ns()
        check_model_file(path)
        if abort.is_set:
            raise LoadCancelled
        self.api = native.api
        self.abort = abort
        self._native = native
        self._log = log
        self._path = path
        self._model: Any = None
        self.context: Any = None
        log.clear()
        try:
            self._load_weights(options, on_progress)
            self._make_context(options)
            self._warm_up()
        except BaseException:
            self.close()
            raise
        self.bos = self._token_text("bos")
        self.template, self.template_problem = self._read_template(options)
        self.report = self._report(name, options, (time.monotonic_ns() - started_ns) / NS_PER_MS)

    def close(self) -> None:
        if self.context is not None:
            self.api.llama_free(self.context)
            self.context = None
        if self._model is not None:
            self.api.llama_model_free(self._model)
            self._model = None

    def _load_weights(self, options: LoadOptions, on_progress: Callable[[float], None]) -> None:
        api, abort = self.api, self.abort

        def progressed(fraction: float, _user_data: object) -> bool:
            on_progress(fraction)
            return not abort.is_set

        callback = api.llama_progress_callback(progressed)
        parameters = api.llama_model_default_params()
        wanted = ALL_LAYERS if options.n_gpu_layers is None else options.n_gpu_layers
        parameters.n_gpu_layers = wanted if self._native.gpu_offload else 0
        parameters.progress_callback = callback
        self._model = api.llama_model_load_from_file(str(self._path).encode(), parameters)
        if abort.is_set:
            raise LoadCancelled
        if not self._model:
            raise self._unusable("llama.cpp could not load this model")
        self.vocab = api.llama_model_get_vocab(self._model)
        self.n_vocab = int(api.llama_vocab_n_tokens(self.vocab))

    def _make_context(self, options: LoadOptions) -> None:
        api = self.api
        trained = int(api.llama_model_n_ctx_train(self._model))
        wanted = min(options.n_ctx or DEFAULT_N_CTX, trained or DEFAULT_N_CTX)
        on_gpu = read_figures(self._log.lines()).gpu_layers > 0
        self.n_batch = min(options.n_batch or (GPU_BATCH if on_gpu else CPU_BATCH), wanted)
        self.n_threads = options.n_threads or default_threads(self._path.stat().st_size)
        parameters = api.llama_context_default_params()
        parameters.n_ctx = wanted
        parameters.n_batch = parameters.n_ubatch = self.n_batch
        parameters.n_outputs_max = 1  # one row of logits at a time: halves the compute buffer of a large vocabulary
        parameters.n_threads = parameters.n_threads_batch = self.n_threads
        parameters.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.type_k = parameters.type_v = _ggml_type(api, options.kv_type)
        parameters.abort_callback = self.abort.callback
        parameters.abort_callback_data = self.abort.data
        parameters.no_perf = False
        self.context = api.llama_init_from_model(self._model, parameters)
        if not self.context:
            raise self._unusable("There is not enough memory for this context")
        # llama.cpp rounds a context up to 256 tokens; beyond what was asked or trained for nothing is promised.
        self.n_ctx = min(int(api.llama_n_ctx(self.context)), wanted)

    def _warm_up(self) -> None:
        """One throw-away token reads every weight from disk, so that the first run's TTFT is the model's own."""
        api = self.api
        first = int(api.llama_vocab_bos(self.vocab))
        tokens = (ctypes.c_int32 * 1)(first if 0 <= first < self.n_vocab else 0)
        status = int(api.llama_decode(self.context, api.llama_batch_get_one(tokens, 1)))
        if self.abort.is_set:
            raise LoadCancelled
        if status != 0:
            raise self._unusable("llama.cpp loaded this model but could not run it")
        api.llama_synchronize(self.context)
        api.llama_memory_clear(api.llama_get_memory(self.context), True)

    def _unusable(self, what: str) -> ModelUnusable:
        """The cause as a sentence: memory, an unknown architecture, else llama.cpp's own last error."""
        errors = self._log.errors()
        if memory_ran_out("\n".join(errors)):
            return ModelUnusable(f"There is not enough memory to run {self._path.name}.")
        last = next((line for line in errors if "error" in line.lower()), errors[-1] if errors else "")
        return ModelUnusable(f"{what} ({last[:300]})." if last else f"{what}.")

    def _read_template(self, options: LoadOptions) -> tuple[ChatTemplate | None, str]:
        """The template, or None and why the plain chat format is used; no reason where it was asked for."""
        if options.chat_format == "plain":
            return None, ""
        source = self.api.llama_model_chat_template(self._model, None)
        if not source:
            return None, "This model brings no chat template."
        try:
            if len(source) > MAX_TEMPLATE_BYTES:
                raise TemplateUnusable("is far too long")
            text = source.decode("utf-8", "replace")
            template = ChatTemplate(text, bos=self.bos, eos=self._token_text("eos"))
            template.render(TRIAL)
        except TemplateUnusable as problem:
            return None, f"This model's chat template cannot be used: it {problem}."
        return template, ""

    def _token_text(self, which: str) -> str:
        token = int(getattr(self.api, f"llama_vocab_{which}")(self.vocab))
        if not 0 <= token < self.n_vocab:
            return ""
        return (self.api.llama_vocab_get_text(self.vocab, token) or b"").decode("utf-8", "replace")

    def _report(self, name: str, options: LoadOptions, load_ms: float) -> EngineReport:
        figures = read_figures(self._log.lines())
        layers = int(self.api.llama_model_n_layer(self._model))
        quant = self.api.llama_ftype_name(self.api.llama_model_ftype(self._model))
        return EngineReport(
            model=name,
            device=self._device(figures),
            quant=quant_name(quant.decode("utf-8", "replace")) if quant else None,
            gpu_layers=figures.gpu_layers,
            n_layers=figures.n_layers or layers + 1,
            n_ctx=self.n_ctx,
            kv_type=options.kv_type,
            n_threads=self.n_threads,
            weights_bytes=figures.weights_bytes,
            kv_bytes=figures.kv_bytes,
            compute_bytes=figures.compute_bytes,
            load_ms=load_ms,
            engine_build=self._native.build,
            template="gguf" if self.template else "plain",
        )

    def _device(self, figures: LogFigures) -> str:
        """The devices that hold weights, by the names their makers gave them."""
        if figures.gpu_layers == 0:
            return "CPU"
        used = [
            device.description or device.name
            for device in self._native.facts().devices
            if device.kind != "cpu" and any(device.name in buffer for buffer in figures.weight_buffers)
        ]
        return (" + ".join(used) or "GPU")[:512]


def default_threads(model_bytes: int) -> int:
    """Physical cores less one, which the window needs; one for a small model, whose threads would wait on each other.

    Measured: a 3 M model on two busy cores ran 384 tok/s with two threads and 2,225 with one.
    """
    if model_bytes < SMALL_MODEL_BYTES:
        return 1
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else physical
    return max(1, min(physical, allowed) - 1)


def quant_name(description: str) -> str | None:
    """The name that files carry: llama.cpp says "Q4_K - Medium" where files say Q4_K_M."""
    base, _dash, rest = description.removeprefix("(guessed) ").partition(" - ")
    suffix = {"Small": "_S", "Medium": "_M", "Large": "_L"}.get(rest, "")
    return (base if base == "Q2_K" and rest == "Medium" else base + suffix)[:64] or None


def _ggml_type(api: Any, kv_type: KvType) -> int:
    types = {"f16": api.GGML_TYPE_F16, "q8_0": api.GGML_TYPE_Q8_0, "q4_0": api.GGML_TYPE_Q4_0}
    return int(types[kv_type])
