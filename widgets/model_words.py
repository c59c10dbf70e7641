"""Plain words for verdicts, speed, closeness and context, with the figures behind them. Must not know Qt, nor formulas.

Closeness words are our own reading of mean KL divergence from the full weights; the figure always stands beside them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from backends.records import KvType
from widgets import format as fmt
from widgets.file_words import download_line as download_line  # words for files are offered from here too
from widgets.file_words import share as share
from widgets.model_values import LeverLine, ModelRow, ModelsView, PartLine

WORDS_PER_TOKEN: Final = 0.75  # English prose with a Llama tokeniser, roughly
WORDS_PER_PAGE: Final = 500
READING_TOK_S: Final = 10.0  # people read about 5 to 10 tokens per second
SLOW_TOK_S: Final = 5.0
_UNIT: Final = re.compile(r" (tok/s|bytes|[KMGT]iB)\b")
_CLOSENESS: Final = (
    (0.001, "Original"),
    (0.003, "Nearly same"),
    (0.015, "Very close"),
    (0.05, "Close"),
    (0.12, "Some loss"),
)
WORST = "Clear loss"
NOT_MEASURED = "Not measured"
_LONG: Final = {
    "Original": "Answers as",
    "Nearly same": "Answers almost exactly as",
    "Very close": "Answers very close to",
    "Close": "Answers close to",
    "Some loss": "Answers sometimes worse than",
    WORST: "Answers clearly worse than",
}
_ORDER: Final = {"gpu": 0, "split": 1, "ram": 2, "no": 3}
_MARK: Final = {
    "gpu": ("check-circle", "here"),
    "split": ("circle-half", "caution"),
    "ram": ("cpu", "caution"),
    "no": ("x-circle", "muted"),
}
KV_WORDS: Final[dict[KvType, tuple[str, str]]] = {
    "f16": ("Exact", "f16: every number of the context memory is kept as the model makes it."),
    "q8_0": ("Compact", "q8_0: about half the context memory; the difference is hard to notice."),
    "q4_0": ("Smallest", "q4_0: about a quarter of the context memory; answers may get worse with long texts."),
}


def title(row: ModelRow) -> str:
    """The model and its quant, as `Llama 3.1 8B Instruct, Q4_K_M`."""
    return f"{row.model}, {row.quant}"


def is_slow(row: ModelRow) -> bool:
    """True where it is known to write below reading speed; of an unknown speed nothing is said."""
    return row.tok_s_low is not None and row.tok_s_low < READING_TOK_S


def fits(row: ModelRow) -> bool:
    """True where it runs on this machine now, however slowly."""
    return row.verdict != "no" and row.state != "not_runnable"


def verdict(row: ModelRow) -> str:
    """A few words, for a cell of the table."""
    if row.state == "not_runnable":
        return "Cannot run here"
    if row.verdict == "gpu":
        return f"Fits on the {_gpus(row)}"
    if row.verdict == "split":
        return f"{row.gpu_layers} of {row.n_layers} layers on GPU"
    if row.verdict == "ram":
        return "In RAM, slow" if is_slow(row) else "In RAM"
    return f"Too large by {fmt.byte_size(row.missing_bytes)}"


def _gpus(row: ModelRow) -> str:
    """Its parts are the GPUs that take layers, and main memory."""
    return "GPUs" if len(row.parts) > 2 else "GPU"


def verdict_mark(row: ModelRow) -> tuple[str, str]:
    """Icon and tone that go with the words."""
    return ("prohibit", "muted") if row.state == "not_runnable" else _MARK[row.verdict]


def verdict_sentence(row: ModelRow) -> str:
    """What the verdict means for somebody who never heard of layers."""
    if row.state == "not_runnable":
        return row.reason
    if row.verdict == "gpu":
        return f"All of it goes into the free memory of the {_gpus(row)}. That is the fastest way to run it."
    if row.verdict == "split":
        return (
            f"The {_gpus(row)} {'have' if len(row.parts) > 2 else 'has'} room for a part of it; "
            "the rest runs on the processor. "
            "It works, but more slowly than a model that fits whole."
        )
    if row.verdict == "ram":
        return "It runs on the processor, from the main memory of this machine."
    return f"It does not fit: it needs {fmt.byte_size(row.missing_bytes)} more memory than is free now."


def verdict_key(row: ModelRow) -> tuple[int, float, int]:
    """Best first: more on the GPU before less, little missing before much, what cannot run last."""
    place = 4 if row.state == "not_runnable" else _ORDER[row.verdict]
    return place, -row.gpu_layers / max(1, row.n_layers), row.missing_bytes


def closeness(kld: float | None) -> str:
    """How close a quant is to its own full model, in one or two words."""
    if kld is None:
        return NOT_MEASURED
    return next((words for limit, words in _CLOSENESS if kld < limit), WORST)


def quality_sentence(row: ModelRow) -> str:
    """Closeness with its figure; a reminder that it compares a model with itself only."""
    if row.kld is None:
        return f"How close this quant is to the full {row.model} was not measured."
    return f"{_LONG[closeness(row.kld)]} the full {row.model} (KLD {row.kld:.4f}; 0 is identical)."


def speed(row: ModelRow) -> str:
    """The figures for a cell; a range without an own run is an estimate."""
    return fmt.number_range(row.tok_s_low, row.tok_s_high)


def speed_sentence(row: ModelRow) -> str:
    """The range in words a reader can picture, with what it rests on."""
    if row.tok_s_low is None or row.tok_s_high is None:
        return "speed not measured yet" if row.verdict in ("ram", "split") else "speed not known yet"
    middle = (row.tok_s_low + row.tok_s_high) / 2
    if middle >= READING_TOK_S:
        pace = "faster than you read"
    else:
        pace = "about reading speed" if middle >= SLOW_TOK_S else "slower than you read"
    figures = fmt.number_range(row.tok_s_low, row.tok_s_high).replace("–", " to ")
    return f"{figures} tok/s, {pace}"


def speed_basis(row: ModelRow) -> str:
    """What the speed rests on."""
    if row.tok_s_low is None:
        return ""
    return f"measured in {fmt.plural(row.own_runs, 'run')} here" if row.own_runs else "estimated"


def speed_key(row: ModelRow) -> float | None:
    if row.tok_s_low is None or row.tok_s_high is None:
        return None
    return (row.tok_s_low + row.tok_s_high) / 2


def state(row: ModelRow, share: float | None = None) -> str:
    """Where the file is; `share` is what has arrived of a download."""
    if row.state == "downloading":
        return f"{fmt.percent(share)}" if share is not None else "Queued"
    return {"available": "Not on disk", "installed": "Installed", "not_runnable": "Not offered"}[row.state]


def pages(n_tokens: int) -> str:
    """About how many pages of English text a context holds."""
    n = n_tokens * WORDS_PER_TOKEN / WORDS_PER_PAGE
    if n < 1:
        return "under a page of text"
    rounded = round(n) if n < 20 else round(n / 5) * 5 if n < 100 else round(n / 10) * 10
    return f"about {fmt.plural(rounded, 'page')} of text"


def context(n_tokens: int) -> str:
    return f"{n_tokens:,} tokens, {pages(n_tokens)}"


def facts(row: ModelRow) -> str:
    """Size, speed and context of a recommended model in two lines."""
    size = f"{'' if row.size_exact else 'about '}{fmt.byte_size(row.file_bytes)}"
    size = f"{size} on disk" if row.state == "installed" else f"{size} to download"
    speed_said = speed_sentence(row) + (f" ({speed_basis(row)})" if speed_basis(row) else "")
    return f"{size}  ·  {speed_said}\nKeeps {context(row.n_ctx)} in mind"


def lever(line: LeverLine) -> tuple[str, str]:
    """What one change is, and what it would do."""
    what = {
        "quant": f"Take {line.value} instead",
        "context": f"Context of {_tokens(line.value)} tokens",
        "kv_type": f"Context memory as {line.value}",
    }[line.kind]
    effect = {
        "gpu": "Fits on the GPU",
        "split": f"{fmt.plural(line.gpu_layers, 'layer')} on GPU",
        "ram": "Fits in RAM",
        "no": "Still too large",
    }[line.verdict]
    return what, f"{effect}, {fmt.byte_size(line.saves_bytes)} less"


def lever_action(line: LeverLine) -> str:
    """The change as a wish, for a button."""
    return {
        "quant": f"Take {line.value} instead",
        "context": f"Shorten the context to {_tokens(line.value)} tokens",
        "kv_type": f"Keep the context memory as {line.value}",
    }[line.kind]


def _tokens(value: str) -> str:
    return f"{int(value):,}" if value.isdecimal() else value


def unbroken(text: str) -> str:
    """For text that wraps: a figure stays with its unit."""
    return _UNIT.sub("\u00a0\\1", text).replace("tok/s", "tok\u2060/\u2060s")


def device_names(names: Sequence[str], hosts: Sequence[str] = ()) -> list[str]:
    """Short names, numbered where several devices have the same; `hosts` are those that are main memory."""
    short = ["Main memory" if name in hosts else short_device(name) for name in names]
    made: list[str] = []
    for at, name in enumerate(short):
        number = f" #{short[:at].count(name) + 1}" if short.count(name) > 1 else ""
        made.append(name + number)
    return made


def short_device(name: str) -> str:
    """Without the maker's words that every card of theirs has."""
    for maker in ("NVIDIA GeForce ", "NVIDIA "):
        if name.startswith(maker) and len(name) > len(maker):
            return name[len(maker) :]
    return name


def part_total(part: PartLine) -> int:
    return part.weights_bytes + part.kv_bytes + part.compute_bytes + part.overhead_bytes


def spoken(row: ModelRow, share: float | None = None) -> str:
    """A row of the catalogue as a screen reader says it."""
    said = [title(row), f"{fmt.byte_size(row.file_bytes)} file"]
    if row.state == "not_runnable":
        return ". ".join([*said, verdict(row), row.reason.rstrip(".")])
    if row.rank == 1:
        said.insert(0, "Recommended")
    said += [verdict(row), f"needs {fmt.byte_size(row.needs_bytes)}", speed_sentence(row)]
    said += [f"quality: {closeness(row.kld)}", state(row, share)]
    return ". ".join(said)


def closest(view: ModelsView) -> tuple[ModelRow, LeverLine | None] | None:
    """Where nothing fits: a model that one lever would make fit, or the one that lacks least."""
    found = view.closest
    row = next((row for row in view.rows if row.ref == found.ref), None) if found is not None else None
    return (row, found.lever) if found is not None and row is not None else None


def fastest(view: ModelsView) -> ModelRow | None:
    """Where something runs but nothing is recommended: the one that writes fastest, the smallest where nobody knows."""
    rows = [row for row in view.rows if fits(row)]
    return max(rows, key=lambda row: (speed_key(row) or 0.0, -row.file_bytes), default=None)
