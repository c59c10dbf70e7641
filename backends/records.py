"""Values that travel between rooms: prompts, settings, usage, results. Must not know how they are made or shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

Role = Literal["system", "user", "assistant"]
Number = int | float
FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
KvType = Literal["f16", "q8_0", "q4_0"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

CostBasis = Literal[
    "api_price",  # what the provider charges for the reported usage
    "practice_at_gpt4o_price",  # what gpt-4o would have charged; nothing was paid
    "not_measured",  # local run without measured energy or a tariff
    "unknown_price",  # no price is known for this model
    "usage_missing",  # the server reported no usage
    "not_charged",  # it was not sent, or turned down by the server
    "estimated",  # the answer broke off: at least about this much
]

BUSY_FROM_SHARE = 0.2  # of the time of decoding


def frozen_map(values: Mapping[str, Number] | None = None) -> Mapping[str, Number]:
    """A read-only copy, for fields of frozen values."""
    return MappingProxyType(dict(values or {}))


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `None` leaves a choice to the engine's default.

    `reasoning_effort` is for models that think before they answer and let the caller say how much.
    """

    max_tokens: int | None = 1024
    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One or more messages; the last one is the question."""

    messages: tuple[Message, ...]

    @classmethod
    def ask(cls, text: str, system: str | None = None) -> Prompt:
        head = (Message("system", system),) if system else ()
        return cls((*head, Message("user", text)))

    @property
    def text(self) -> str:
        """The question itself."""
        return self.messages[-1].text if self.messages else ""

    @property
    def system(self) -> str | None:
        first = self.messages[0] if self.messages else None
        return first.text if first is not None and first.role == "system" else None


@dataclass(frozen=True, slots=True)
class Target:
    """A thing that can answer. `provider` is local, practice, openai, together, custom...; `model` names it there."""

    provider: str
    model: str

    def __str__(self) -> str:
        return self.provider if self.provider == "practice" else f"{self.provider}:{self.model}"

    @property
    def is_local(self) -> bool:
        return self.provider == "local"


@dataclass(frozen=True, slots=True)
class RunRequest:
    run_id: str
    target: Target
    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server or the worker reports them; cached is inside prompt, reasoning inside completion.

    Locally, completion counts the tokens of the text. Servers built on llama.cpp, practice among them, also count the
    token that ends the answer: for the same answer they report one more, unless it was cut off.

    Some providers charge apart for tokens that they wrote into their cache (inside prompt), and by
    `service_tier`, their name for how the request was served.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """`usd` is None when it is not known; never 0 for unknown, and a lower bound where the basis is `estimated`.

    `price_as_of` is an ISO date; `source` says whose price it is, as "your price of 2026-11-01".
    """

    usd: Decimal | None
    basis: CostBasis
    price_as_of: str | None = None
    formula: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class PartReport:
    """What a loaded model takes on one device, in bytes as llama.cpp logged them; None if it did not say.

    `device` is ggml's name of a GPU (`CUDA0`) or `CPU`, `pci_id` its PCI bus id where known. On the CPU, weights that
    are mapped from the file count with everything that lies between them in the file, so they may be more than needed.
    """

    device: str
    pci_id: str | None
    layers: int
    weights_bytes: int | None
    kv_bytes: int | None
    compute_bytes: int | None


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What a loaded local model really uses; sizes are bytes as llama.cpp logged them, None if it did not say."""

    model: str
    device: str
    quant: str | None
    gpu_layers: int
    n_layers: int
    n_ctx: int
    kv_type: KvType
    n_threads: int
    weights_bytes: int | None
    kv_bytes: int | None
    compute_bytes: int | None
    load_ms: float
    engine_build: str
    template: Literal["gguf", "plain"] = "gguf"
    parts: tuple[PartReport, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherWork:
    """What other programs used of the processor while a local run decoded on it, in cores on average.

    `used_cores` is over the whole time; `busy_cores` over that part of it, `busy_share`, in which they were in the way
    of the run, None where they never were. `cores` are the machine's physical ones. `devices/busy` has the rule.
    """

    busy_share: float
    used_cores: float
    busy_cores: float | None
    cores: int

    @property
    def busy(self) -> bool:
        """Whether that was long enough to be told beside tok/s."""
        return self.busy_share >= BUSY_FROM_SHARE


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run, whole: everything needed to read it and to repeat it. Unknown is None, never 0.

    Times are milliseconds from t0 (monotonic clock just before the request enters the engine, model loaded).
    """

    run_id: str
    target: str
    model: str
    provider: str
    text: str
    reasoning_text: str
    finish_reason: str | None
    complete: bool
    usage: Usage
    ttft_ms: float | None
    ttfr_ms: float | None
    decode_tok_s: float | None
    answer_tok_s: float | None
    chars_s: float | None
    e2e_ms: float | None
    load_ms: float | None
    cost: Cost
    energy_j: float | None = None
    device: str | None = None
    gpu_layers: int | None = None
    quant: str | None = None
    engine_build: str | None = None
    app_version: str = ""
    engine_timings: Mapping[str, Number] = field(default_factory=frozen_map)
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    other_work: OtherWork | None = None
