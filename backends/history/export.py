"""A comparison as a document: JSON for programs, Markdown for people. Pure: must not know where it is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from backends.history.codec import TEXT_FIELDS, plain, result_as_json
from backends.history.records import ComparisonRecord, RunRecord
from backends.records import CostBasis, RunResult
from backends.version import APP_VERSION


def as_json(records: Sequence[ComparisonRecord]) -> str:
    """Everything that was kept; times in ms, cost in US dollars as text, unknown is null; ends with a line break.

    A run's `vote` is "up", "down", or empty where there is none.
    """
    body = {"app": "nearfar", "app_version": APP_VERSION, "comparisons": [comparison_as_json(each) for each in records]}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def comparison_as_json(record: ComparisonRecord) -> dict[str, Any]:
    """One comparison as JSON knows it."""
    return {
        "id": record.id,
        "started_at": record.started_at.isoformat(),
        "mode": record.mode,
        "prompt": record.prompt.text,
        "system": record.prompt.system,
        "messages": plain(record.prompt.messages),
        "sampling": plain(record.sampling),
        "runs": [_run_as_json(each) for each in record.runs],
    }


def _run_as_json(run: RunRecord) -> dict[str, Any]:
    result = None if run.result is None else result_as_json(run.result)
    return {
        "run_id": run.run_id,
        "position": run.position,
        "target": run.target,
        "status": run.status,
        "vote": run.vote,
        "started_at": run.started_at.isoformat(),
        "text": run.text,
        "reasoning_text": run.reasoning,
        "problem": plain(run.problem),
        "result": None if result is None else {key: each for key, each in result.items() if key not in TEXT_FIELDS},
    }


def as_markdown(records: Sequence[ComparisonRecord]) -> str:
    """Prompts, answers and the main figures, to read or to pass on."""
    return "\n\n---\n\n".join(_comparison(each) for each in records) + "\n"


def _comparison(record: ComparisonRecord) -> str:
    how = "one after the other" if record.mode == "sequence" else "at the same time"
    parts = [f"# Comparison of {record.started_at:%Y-%m-%d %H:%M} UTC", f"Lanes ran {how}."]
    for message in record.prompt.messages:
        parts += [f"**{message.role.capitalize()}**", _quoted(message.text)]
    for run in record.runs:
        parts += [f"## {run.target}", _run_line(run)]
        if run.problem is not None:
            parts.append(_quoted(run.problem.sentence))
        parts.append(run.text.strip("\n") or "*(no text)*")
    return "\n\n".join(parts)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _run_line(run: RunRecord) -> str:
    figures = [run.status] + ([] if run.result is None else _figures(run.result))
    return " · ".join(figures + ([f"voted {run.vote}"] if run.vote else []))


_MONEY: dict[CostBasis, str] = {
    "practice_at_gpt4o_price": "{} USD at gpt-4o's price (nothing was paid)",
    "not_charged": "{} USD (nothing was charged)",
    "estimated": "at least about {} USD (it broke off)",
}


def _was_busy(result: RunResult) -> bool:
    return result.other_work is not None and result.other_work.busy


def _figures(result: RunResult) -> list[str]:
    """The figures that are known; what is unknown is left out, never 0."""
    usage, cost = result.usage, result.cost
    shown = [
        (result.ttft_ms, "TTFT {:.0f} ms"),
        (result.decode_tok_s, "{:.1f} tok/s (the machine was busy)" if _was_busy(result) else "{:.1f} tok/s"),
        (usage.completion_tokens, "{} tokens"),
        (result.e2e_ms, "{:.0f} ms in all"),
        (cost.usd, _MONEY.get(cost.basis, "{} USD")),
        (result.device, "on {}"),
    ]
    return [form.format(value) for value, form in shown if value is not None]
