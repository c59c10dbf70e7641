"""Why an answer ended before the model was done. Pure: must not word it."""

from __future__ import annotations

from typing import Literal

from backends.records import RunResult

Cut = Literal["max_tokens", "context", "server"]


def cut_by(result: RunResult) -> Cut | None:
    """What cut an answer off, or None where nothing did.

    Engines say `length` for all of it: for the limit that was asked for, for a context that is full, and servers also
    for limits of their own. Only an answer that has as many tokens as were asked for met that limit.
    """
    if result.finish_reason != "length":
        return None
    if "max_tokens" not in result.settings:
        return "max_tokens"  # kept by an older version, which did not say what was asked
    limit, written = result.settings.get("max_tokens"), result.usage.completion_tokens
    not_sent = result.settings.get("not_sent")
    was_sent = not (isinstance(not_sent, list | tuple) and "max_tokens" in not_sent)
    if isinstance(limit, int) and was_sent and (written is None or written >= limit):
        return "max_tokens"
    return "context" if result.provider in ("local", "practice") else "server"
