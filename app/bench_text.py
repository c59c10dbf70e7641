"""A bench as plain text for a terminal. Must not measure, print, or import Qt."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from app.cli_print import one_line
from backends.bench_figures import BenchReport, Round, Shared
from backends.metrics import MIN_TOKENS, Percentiles
from backends.other_work import busy_words
from backends.sizes import size_words, three_figures

WIDTH = 100
LABEL = 22
UNKNOWN = "n/a"
SOURCES = {
    "measured": "measured here",
    "measured_beside_other_work": "measured beside other work, so too low",
    "table": "by its data sheet",
    "driver": "by its driver",
    "given": "as given",
}
Of = Callable[[Round], float | None]


def as_text(report: BenchReport) -> str:
    """What was loaded, both speeds in both ways to count, what a token costs, and what the memory allows."""
    lines = [*_loaded(report), "", *_speeds(report), "", *_path(report), "", *_memory(report)]
    words = busy_words(report.other_work)
    if words:
        lines += ["", *textwrap.wrap(words, WIDTH)]
    return "\n".join(line.rstrip() for line in lines)


def _loaded(report: BenchReport) -> list[str]:
    loaded = report.loaded
    layers = "" if not loaded.gpu_layers else f", {loaded.gpu_layers} of {loaded.n_layers} layers on GPUs"
    load = UNKNOWN if report.load_ms is None else f"{report.load_ms / 1000:.2f} s"
    return [
        one_line(report.target),
        _line("device", f"{one_line(loaded.device)}{layers}"),
        _line("quant", one_line(loaded.quant or UNKNOWN)),
        _line("context", f"{loaded.n_ctx:,} tokens, KV cache {loaded.kv_type}"),
        _line("threads, n_batch", f"{loaded.n_threads}, {report.n_batch}"),
        _line("load time", load),
    ]


def _speeds(report: BenchReport) -> list[str]:
    n, prompt = len(report.rounds), report.prompt_tokens
    tokens = report.over_rounds(lambda each: float(each.tokens))
    rows = [
        _line(f"median of {n}, low-high" if n > 1 else "one round", f"{'as the app shows it':<26}by llama.cpp"),
        _speed("prefill tok/s", report, lambda each: each.prefill_tok_s, lambda each: each.engine_prefill_tok_s),
        _speed("decode tok/s", report, lambda each: each.decode_tok_s, lambda each: each.engine_decode_tok_s),
        _line("", f"{_count(prompt)} tokens of prompt, {_count(tokens)} decoded in each round"),
    ]
    if any(len(each.answers) > 1 for each in report.rounds):
        most = max(len(each.answers) for each in report.rounds)
        rows.append(_line("", f"The model ended early: up to {most} answers make a round."))
    if any(each.tokens < MIN_TOKENS for each in report.rounds):
        rows.append(_line("", f"Fewer than {MIN_TOKENS} tokens say too little about speed."))
    elif any(each.decode_tok_s is None for each in report.rounds):
        rows.append(_line("", "The answers took under 50 ms, too little to show a speed: ask for more with --tokens."))
    return rows


def _path(report: BenchReport) -> list[str]:
    percent = report.over_rounds(lambda each: each.path_percent).median
    share = "" if percent is None else f", {percent:.1f} %"
    return [
        _line("one token takes", _us(report, lambda each: each.step_us)),
        _line("  computing it", f"{_us(report, lambda each: each.eval_us)} (llama.cpp)"),
        _line("  drawing it", f"{_us(report, lambda each: each.sample_us)} (llama.cpp)"),
        _line("  the app's own path", f"{_us(report, lambda each: each.path_us)}{share}"),
    ]


def _memory(report: BenchReport) -> list[str]:
    if report.shared is None or report.touched_bytes is None:
        return [_line("read for each token", f"{UNKNOWN}: what this model reads is not known")]
    rows = [_line("read for each token", f"{size_words(report.touched_bytes)} of weights and KV cache")]
    rows += [_line("  bandwidth", _bandwidth(each, alone=len(report.shared) == 1)) for each in report.shared]
    share = report.bandwidth_share
    rows.append(_line("  decoding reaches", UNKNOWN if share is None else f"{share:.0%} of it"))
    return rows


def _bandwidth(each: Shared, *, alone: bool) -> str:
    where = "" if alone else f", {size_words(each.touched_bytes)} of it"
    if each.bandwidth_gb_s is None:
        return f"{UNKNOWN} ({one_line(each.device)}{where})"
    source = SOURCES.get(each.bandwidth_source or "", "")
    return f"{three_figures(each.bandwidth_gb_s)} GB/s{f' {source}' if source else ''} ({one_line(each.device)}{where})"


def _speed(name: str, report: BenchReport, shown: Of, counted: Of) -> str:
    return _line(name, f"{_spread(report.over_rounds(shown)):<26}{_spread(report.over_rounds(counted))}")


def _spread(values: Percentiles) -> str:
    if values.median is None or values.low is None or values.high is None:
        return UNKNOWN
    if values.n == 1:
        return three_figures(values.median)
    return f"{three_figures(values.median)}  {three_figures(values.low)}-{three_figures(values.high)}"


def _count(values: Percentiles) -> str:
    if values.low is None or values.high is None:
        return UNKNOWN
    low, high = round(values.low), round(values.high)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _us(report: BenchReport, of: Of) -> str:
    median = report.over_rounds(of).median
    return UNKNOWN if median is None else f"{median:,.1f} µs"


def _line(label: str, text: str) -> str:
    return f"{label:<{LABEL}}  {text}"
