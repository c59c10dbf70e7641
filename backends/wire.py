"""Events and results as the JSON that `--json` prints. Pure: must not print, and must not know who reads.

Unknown is null, never 0. The field names are a contract with scripts.
"""

from __future__ import annotations

from backends.errors import Problem
from backends.events import Cancelled, Delta, Event, Failed, Finished, Started
from backends.records import OtherWork, RunResult

Json = dict[str, object]


def result_as_json(result: RunResult) -> Json:
    """Every figure of a run; times in milliseconds, rates per second, cost in US dollars."""
    usage, cost = result.usage, result.cost
    return {
        "target": result.target,
        "model": result.model,
        "provider": result.provider,
        "device": result.device,
        "gpu_layers": result.gpu_layers,
        "quant": result.quant,
        "text": result.text,
        "reasoning_text": result.reasoning_text or None,
        "finish_reason": result.finish_reason,
        "complete": result.complete,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "ttft_ms": result.ttft_ms,
        "ttfr_ms": result.ttfr_ms,
        "decode_tok_s": result.decode_tok_s,
        "answer_tok_s": result.answer_tok_s,
        "chars_s": result.chars_s,
        "e2e_ms": result.e2e_ms,
        "load_ms": result.load_ms,
        "cost_usd": None if cost.usd is None else float(cost.usd),
        "cost_basis": cost.basis,
        "cost_formula": cost.formula,
        "price_as_of": cost.price_as_of,
        "price_source": cost.source,
        "energy_j": result.energy_j,
        "engine_timings": dict(result.engine_timings),
        "settings": dict(result.settings),
        "app_version": result.app_version,
        "engine_build": result.engine_build,
        "other_work": other_work_as_json(result.other_work),
    }


def other_work_as_json(work: OtherWork | None) -> Json | None:
    if work is None:
        return None
    return {
        "busy": work.busy,
        "busy_share": work.busy_share,
        "used_cores": work.used_cores,
        "busy_cores": work.busy_cores,
        "cores": work.cores,
    }


def problem_as_json(problem: Problem) -> Json:
    return {"code": problem.code, "what": problem.what, "safe": problem.safe, "fix": problem.fix}


def event_as_json(event: Event, target: str) -> Json | None:
    """One line of `run --json`; None for events that scripts are not promised."""
    head: Json = {"event": type(event).__name__.lower(), "target": target, "run_id": event.run_id}
    match event:
        case Started():
            return head
        case Delta():
            return {**head, "text": event.text, "kind": event.kind, "tokens": event.n_tokens, "at_ns": event.at_ns}
        case Failed():
            return {**head, "error": problem_as_json(event.problem), "result": result_as_json(event.result)}
        case Finished() | Cancelled():
            return {**head, "result": result_as_json(event.result)}
        case _:
            return None
