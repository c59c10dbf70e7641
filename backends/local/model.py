"""Loads one GGUF through llama.cpp's C API and reports what it really uses. Must not know messages or processes."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

from backends.local.facts import LoadOptions
from backends.local.gguf_check import check_model_file
from backends.local.handles import AbortFlag, Handles, LoadCancelled
from backends.local.log_capture import HOST, LogCapture, LogFigures, read_devices, read_figures
from backends.local.native import Native
from backends.local.template import ChatTemplate, TemplateUnusable
from backends.records import EngineReport, Message, PartReport

__all__ = ["AbortFlag", "LoadCancelled", "LoadedModel", "quant_name"]

NS_PER_MS = 1_000_000
MAX_TEMPLATE_BYTES = 262_144
TRIAL = (Message("user", "Hello"),)


class LoadedModel(Handles):
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
        super().__init__(native, log, abort, path)
        started_ns = time.monotonic_ns()
        check_model_file(path)
        if abort.is_set:
            raise LoadCancelled
        log.clear()
        try:
            self.open_weights(options, on_progress)
            self.open_context(options)
            self._warm_up()
        except BaseException:
            self.close()
            raise
        self.bos = self._token_text("bos")
        self.template, self.template_problem = self._read_template(options)
        self.report = self._report(name, options, (time.monotonic_ns() - started_ns) / NS_PER_MS)

    def _warm_up(self) -> None:
        """One throw-away token reads every weight from disk, so that the first run's TTFT is the model's own."""
        api = self.api
        first = int(api.llama_vocab_bos(self.vocab))
        tokens = (ctypes.c_int32 * 1)(first if 0 <= first < self.n_vocab else 0)
        status = int(api.llama_decode(self.context, api.llama_batch_get_one(tokens, 1)))
        if self.abort.is_set:
            raise LoadCancelled
        if status != 0:
            raise self.unusable("llama.cpp loaded this model but could not run it")
        api.llama_synchronize(self.context)
        api.llama_memory_clear(api.llama_get_memory(self.context), True)

    def _read_template(self, options: LoadOptions) -> tuple[ChatTemplate | None, str]:
        """The template, or None and why the plain chat format is used; no reason where it was asked for."""
        if options.chat_format == "plain":
            return None, ""
        source = self.api.llama_model_chat_template(self.model, None)
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
        figures = read_figures(self.log.lines())
        layers = int(self.api.llama_model_n_layer(self.model))
        quant = self.api.llama_ftype_name(self.api.llama_model_ftype(self.model))
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
            engine_build=self.native.build,
            template="gguf" if self.template else "plain",
            parts=self._parts(),
        )

    def _parts(self) -> tuple[PartReport, ...]:
        """The GPUs used, then the CPU."""
        ids = {device.name: device.pci_id for device in self.native.facts().devices if device.name != HOST}
        return tuple(
            PartReport(
                device.name,
                ids.get(device.name),
                len(device.layers),
                device.weights_bytes,
                device.kv_bytes,
                device.compute_bytes,
            )
            for device in read_devices(self.log.lines())
        )

    def _device(self, figures: LogFigures) -> str:
        """The devices that hold weights, by the names their makers gave them."""
        if figures.gpu_layers == 0:
            return "CPU"
        used = [
            device.description or device.name
            for device in self.native.facts().devices
            if device.kind != "cpu" and any(device.name in buffer for buffer in figures.weight_buffers)
        ]
        return (" + ".join(used) or "GPU")[:512]


def quant_name(description: str) -> str | None:
    """The name that files carry: llama.cpp says "Q4_K - Medium" where files say Q4_K_M."""
    base, _dash, rest = description.removeprefix("(guessed) ").partition(" - ")
    suffix = {"Small": "_S", "Medium": "_M", "Large": "_L"}.get(rest, "")
    return (base if base == "Q2_K" and rest == "Medium" else base + suffix)[:64] or None
