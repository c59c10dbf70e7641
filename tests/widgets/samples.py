"""Realistic targets, events, results and history for looking at the window and for its tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from backends.errors import Problem
from backends.events import Cancelled, Delta, Event, Failed, Finished, Loaded, Loading, Prefill, Sent, Started
from backends.records import Cost, EngineReport, RunResult, Sampling, Target, Usage
from widgets.values import (
    GROUP_CLOUD,
    GROUP_OWN,
    GROUP_PRACTICE,
    GROUP_SERVERS,
    DeviceLine,
    EndStatus,
    HistoryLine,
    PrivacyState,
    ServerLine,
    StoredComparison,
    StoredLane,
    TargetAction,
    TargetChoice,
)

MS = 1_000_000
NOW = datetime(2026, 11, 23, 9, 41, tzinfo=UTC)
PROMPT = "What does tok/s mean, and why do two models with the same tok/s feel different?"
CHOICES = (
    TargetChoice("local:demo", "Nearfar demo", "tiny demo model", is_demo=True),
    TargetChoice("local:llama-3.2-3b:Q4_K_M", "Llama 3.2 3B Instruct, Q4_K_M", "1.9 GiB, fits on the GPU"),
    TargetChoice(
        "practice", "Practice", "the demo model, served on this machine", group=GROUP_PRACTICE, is_practice=True
    ),
    TargetChoice(
        "openai:gpt-4o", "GPT-4o", "OpenAI", GROUP_CLOUD, "api.openai.com", needs_key=True, retires_on="2027-01-14"
    ),
    TargetChoice("openai:gpt-4.1-mini", "GPT-4.1 mini", "OpenAI", GROUP_CLOUD, "api.openai.com", needs_key=True),
    TargetChoice(
        "together:meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "Llama 3.3 70B Instruct Turbo",
        "Together AI",
        GROUP_CLOUD,
        "api.together.xyz",
        needs_key=True,
        disabled_reason="Local only is on",
    ),
)
SERVED = (
    TargetChoice("ollama:llama3.2:3b", "llama3.2:3b", "Ollama", GROUP_SERVERS),
    TargetChoice("ollama:gpt-oss:120b-cloud", "gpt-oss:120b-cloud", "Ollama", GROUP_SERVERS, "ollama.com"),
    TargetChoice("custom:lab/phi-4", "phi-4", "lab", GROUP_OWN, "lab.example.org"),
    *(
        TargetChoice(f"openrouter:maker/model-{n}", f"maker/model-{n}", "OpenRouter", GROUP_CLOUD, "openrouter.ai")
        for n in range(30)
    ),
)
ACTIONS = (
    TargetAction(
        "look",
        "Look for servers on this machine…",
        "Ollama, llama.cpp, LM Studio, vLLM, TGI; asks this machine alone",
        GROUP_SERVERS,
        "magnifying-glass",
    ),
    TargetAction("list:lab", "List the models of lab…", "asks lab.example.org, without a prompt", GROUP_OWN),
    TargetAction("list:openai", "List the models of OpenAI…", "asks api.openai.com, without a prompt", GROUP_CLOUD),
    TargetAction("list:groq", "List the models of Groq…", "", GROUP_CLOUD, disabled_reason="Local only is on"),
)
SERVERS = (
    ServerLine("lab", "https://lab.example.org/v1", "lab.example.org", "12 models on 24 November 2026"),
    ServerLine("box", "http://127.0.0.1:9000/v1"),
    ServerLine("wrong", "http://0.0.0.0:1/v1", problem="0.0.0.0 is where servers listen, not where they are reached."),
)
SAMPLES = (
    ("What does tok/s mean?", "What does tok/s mean?"),
    ("Why is the first token slow?", "Why does the first token take longer than the next ones?"),
    ("Near or far?", "When should a model run on my own machine, and when in the cloud?"),
    ("What is a quant?", "What is a quant, and what does Q4_K_M mean?"),
    ("Write a function", "Write a Python function that returns the median of a list."),
)
GPU = DeviceLine("NVIDIA RTX 4090", "gpu", 24 * 2**30, 21 * 2**30, "driver 565.77, 1,008 GB/s")
CPU = DeviceLine("AMD Ryzen 9 7950X", "cpu", 64 * 2**30, 23 * 2**30, "16 cores, 32 threads")
QUIET = PrivacyState(False, (), 0, NOW - timedelta(minutes=29))
AWAY = PrivacyState(False, ("api.openai.com",), 3, NOW - timedelta(minutes=29))
LOCAL_ONLY = PrivacyState(True, (), 0, NOW - timedelta(minutes=29))
ANSWER = """**tok/s** is how many tokens a model writes per second once it has begun.

A token is a piece of a word, about four characters of English. Two models with the same tok/s can still feel \
different:

- **TTFT**, the wait before the first token, is not part of tok/s.
- Tokenisers differ, so one model needs *more tokens* for the same sentence.
- A longer answer takes longer at the same speed.

```python
def decode_tok_s(tokens, first_ms, last_ms):
    \"\"\"Tokens per second after the first one.\"\"\"
    return (tokens - 1) * 1000 / (last_ms - first_ms)
```

| Figure | Starts at | Ends at |
|---|---|---|
| TTFT | request sent | first token |
| tok/s | first token | last token |

Read both: see [the glossary](https://example.org/glossary).
"""
GONE = Problem(
    "cloud_model_unknown",
    "OpenAI has retired gpt-4.1-nano on 2026-10-23.",
    "Your prompt and any text that arrived are kept.",
    "Choose gpt-6-luna, which OpenAI offers, or another model.",
)
CUT = Problem(
    "connection_lost",
    "The connection to api.openai.com broke in the middle of the answer.",
    "The text that arrived is kept; the answer is incomplete.",
    "Press Retry.",
)
SILENT = "The model's process has said nothing for 2 seconds. It may be busy; you can stop it."


def report(**changes: object) -> EngineReport:
    made = EngineReport(
        model="llama-3.2-3b", device="NVIDIA RTX 4090", quant="Q4_K_M", gpu_layers=28, n_layers=28, n_ctx=8192,
        kv_type="f16", n_threads=8, weights_bytes=2_000_000_000, kv_bytes=900_000_000, compute_bytes=300_000_000,
        load_ms=1240.0, engine_build="b4242",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]  # as in settings_page


def result(target: str = "local:demo", **changes: object) -> RunResult:
    made = RunResult(
        run_id="run-1", target=target, model=target, provider=target.partition(":")[0], text=ANSWER, reasoning_text="",
        finish_reason="stop", complete=True, usage=Usage(34, 212, 0, None), ttft_ms=124.0, ttfr_ms=None,
        decode_tok_s=220.4, answer_tok_s=195.0, chars_s=780.0, e2e_ms=1086.0, load_ms=0.0,
        cost=Cost(None, "not_measured"),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]  # as in settings_page


def local_result(**changes: object) -> RunResult:
    made = result("local:llama-3.2-3b:Q4_K_M", ttft_ms=124.0, decode_tok_s=131.2, e2e_ms=1740.0, load_ms=1240.0)
    return replace(made, **changes)  # type: ignore[arg-type]  # as in settings_page


def practice_result(**changes: object) -> RunResult:
    cost = Cost(Decimal("0.00220500"), "practice_at_gpt4o_price", "2026-10-01", "(34 × $2.50 + 212 × $10) ÷ 1,000,000")
    made = result("practice", ttft_ms=40.2, decode_tok_s=410.0, e2e_ms=560.0, cost=cost)
    return replace(made, **changes)  # type: ignore[arg-type]  # as in settings_page


def cloud_result(**changes: object) -> RunResult:
    cost = Cost(Decimal("0.0022050"), "api_price", "2026-10-01", "(34 × $2.50 + 212 × $10) ÷ 1,000,000")
    made = result("openai:gpt-4o", ttft_ms=612.0, decode_tok_s=82.4, e2e_ms=3170.0, cost=cost)
    return replace(made, **changes)  # type: ignore[arg-type]  # as in settings_page


def opening(target: str, at_ns: int, run_id: str = "run-1") -> list[Event]:
    """Up to t0, which is stamped `at_ns`."""
    provider, _, model = target.partition(":")
    events: list[Event] = [Started(run_id, at_ns - 2 * MS, Target(provider, model or "demo"))]
    if provider == "local":
        events += [Loading(run_id, at_ns - MS, 0.42), Loaded(run_id, at_ns - MS, report())]
    return [*events, Sent(run_id, at_ns)]


def deltas(text: str, at_ns: int, *, ttft_ms: float = 124, tok_s: float = 220, counted: bool = True) -> list[Delta]:
    """The text in words, stamped as a model of this speed would; `counted` as the local worker does."""
    words = text.split(" ")
    made = []
    for n, word in enumerate(words):
        wobble = 1 + 0.25 * ((n * 7919) % 13 - 6) / 6
        stamp = at_ns + int(ttft_ms * MS + n * 1000 / tok_s * MS * (1 + 0.02 * wobble))
        piece = word if n == len(words) - 1 else word + " "
        made.append(Delta("run-1", stamp, piece, 1 if counted else None, (stamp,) if counted else ()))
    return made


def whole_run(target: str, ended: RunResult, at_ns: int, *, tok_s: float = 220) -> list[Event]:
    """A run from Started to Finished."""
    parts = deltas(ended.text, at_ns, ttft_ms=ended.ttft_ms or 100, tok_s=tok_s)
    return [*opening(target, at_ns), *parts, Finished("run-1", parts[-1].at_ns, ended)]


def failed_run(target: str, ended: RunResult, problem: Problem, at_ns: int) -> list[Event]:
    parts = deltas(ended.text, at_ns, counted=False)
    return [*opening(target, at_ns), *parts, Failed("run-1", parts[-1].at_ns, problem, ended)]


def cancelled_run(target: str, ended: RunResult, at_ns: int) -> list[Event]:
    parts = deltas(ended.text, at_ns)
    return [*opening(target, at_ns), *parts, Cancelled("run-1", parts[-1].at_ns, ended)]


def reading(target: str, at_ns: int) -> list[Event]:
    return [*opening(target, at_ns), Prefill("run-1", at_ns + MS, 512, 2048)]


def history(n: int = 12) -> list[HistoryLine]:
    here, both = ("Llama 3.2 3B Instruct, Q4_K_M",), ("Nearfar demo", "Practice")
    clause = "Summarise this contract clause in two sentences:\n\nThe supplier shall, within thirty days of …"
    prompts: list[tuple[str, tuple[str, ...], str, EndStatus]] = [
        (PROMPT, (*here, "GPT-4o"), "2 finished", "finished"),
        ("Write a polite refusal to a meeting on Friday afternoon.", both, "2 finished", "finished"),
        (clause, here, "1 failed", "failed"),
        ("List the prime numbers below 100.", (*both, "GPT-4o"), "2 finished, 1 stopped", "cancelled"),
        ("Explain KV cache reuse.", ("Nearfar demo",), "interrupted: the app was closed", "interrupted"),
    ]
    made = []
    for at in range(n):
        prompt, targets, summary, status = prompts[at % len(prompts)]
        made.append(HistoryLine(f"cmp-{at}", NOW - timedelta(hours=7 * at), prompt, targets, summary, status))
    return made


def stored() -> StoredComparison:
    return StoredComparison(
        "cmp-0", NOW - timedelta(days=1), PROMPT, "Answer briefly.", "race", Sampling(temperature=0.0, seed=7),
        (
            StoredLane("local:llama-3.2-3b:Q4_K_M", local_result(), "finished"),
            StoredLane("openai:gpt-4o", cloud_result(complete=False, finish_reason=None), "failed", CUT),
        ),
    )  # fmt: skip
