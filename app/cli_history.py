"""`nearfar history`: past comparisons on the terminal. Must not import Qt, and changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from app.cli_print import figures, json_text, one_line, plain
from app.exits import EXIT_OK
from backends.errors import UsageError
from backends.history.export import as_json, as_markdown, comparison_as_json
from backends.history.records import ComparisonRecord, ComparisonSummary, RunStatus
from backends.history.store import History
from backends.paths import app_paths

PROMPT_CHARS = 72


def history(arguments: argparse.Namespace) -> int:
    """Returns 0; raises UsageError where there is no such comparison."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    kept = History(app_paths().history_file)
    try:
        match arguments.action:
            case "list":
                _print_list(await kept.list(arguments.limit), as_lines=arguments.json)
            case "search":
                _print_list(await kept.search(arguments.text), as_lines=arguments.json)
            case action:
                record = await _find(kept, arguments.comparison_id)
                _print_one(record, action, as_object=arguments.json)
    finally:
        await kept.close()
    return EXIT_OK


async def _find(kept: History, beginning: str) -> ComparisonRecord:
    ids = await kept.ids(beginning)
    if not ids:
        raise UsageError(
            f"There is no comparison “{beginning[:60]}”.", safe="", fix="See `nearfar history list` for their names."
        )
    if len(ids) > 1 and beginning not in ids:
        raise UsageError(f"“{beginning[:60]}” begins several names: {', '.join(ids)}.", safe="", fix="Give more of it.")
    record = await kept.show(beginning if beginning in ids else ids[0])
    if record is None:
        raise UsageError("That comparison was deleted just now.", safe="", fix="See `nearfar history list`.")
    return record


def _print_list(found: Sequence[ComparisonSummary], *, as_lines: bool) -> None:
    for each in found:
        if as_lines:
            print(json_text(_summary_as_json(each)))
        else:
            when = each.started_at.astimezone().strftime("%Y-%m-%d %H:%M")
            ends = ", ".join(f"{run.target} {_status_words(run.status)}" for run in each.runs)
            prompt = " ".join(plain(each.prompt_start).split())
            print(one_line(f"{each.id}  {when}  {prompt[:PROMPT_CHARS]}  [{ends}]"))
    if not found and not as_lines:
        print("No comparisons.", file=sys.stderr)


def _status_words(status: RunStatus) -> str:
    """This program runs nothing itself, so what has not ended runs in another; JSON keeps the bare word."""
    return "still running in another window" if status == "streaming" else status


def _summary_as_json(each: ComparisonSummary) -> dict[str, object]:
    return {
        "id": each.id,
        "started_at": each.started_at.isoformat(),
        "prompt_start": each.prompt_start,
        "mode": each.mode,
        "runs": [
            {
                "run_id": run.run_id,
                "target": run.target,
                "status": run.status,
                "vote": run.vote,
                "ttft_ms": run.ttft_ms,
                "decode_tok_s": run.decode_tok_s,
                "e2e_ms": run.e2e_ms,
                "cost_usd": None if run.cost_usd is None else float(run.cost_usd),
            }
            for run in each.runs
        ],
    }


def _print_one(record: ComparisonRecord, action: str, *, as_object: bool) -> None:
    if action == "export":
        document = as_json([record]) if as_object else as_markdown([record])
        sys.stdout.write(plain(document) if sys.stdout.isatty() else document)
        return
    if as_object:
        print(json_text(comparison_as_json(record)))
        return
    print(f"{one_line(record.id)}  {record.started_at.astimezone():%Y-%m-%d %H:%M:%S}\n\n{plain(record.prompt.text)}\n")
    for run in record.runs:
        voted = f", voted {run.vote}" if run.vote else ""
        print(f"{one_line(run.target)} ({_status_words(run.status)}{voted})\n{plain(run.text)}\n")
        if run.result is not None:
            print(f"{figures(run.result)}\n")
        if run.problem is not None:
            print(f"{one_line(run.problem.sentence)}\n")
