"""A decoding session in the test's own process, without a worker. Must not know engines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backends.local.decode import Outcome, Session
from backends.local.facts import LoadOptions
from backends.local.log_capture import LogCapture
from backends.local.model import AbortFlag, LoadedModel
from backends.local.native import Native
from backends.records import Sampling

GREEDY = Sampling(max_tokens=40, temperature=0.0, seed=0)


@contextlib.contextmanager
def session_here(path: Path, **options: Any) -> Iterator[tuple[Session, AbortFlag]]:
    native = Native()
    abort = AbortFlag(native.api)
    loaded = LoadOptions(**options)
    model = LoadedModel(native, LogCapture(native.api), abort, path, path.name, loaded, lambda _fraction: None)
    session = Session(model)
    yield session, abort
    session.close()
    model.close()


def said(
    session: Session, prompt: Sequence[int], *, exact: bool = True, sampling: Sampling = GREEDY
) -> tuple[str, Outcome]:
    """The answer's text and how it ended."""
    texts: list[str] = []
    outcome = session.run(
        prompt, sampling, exact=exact, on_prefill=ignore, on_text=lambda text, _stamps: texts.append(text)
    )
    return "".join(texts), outcome


def ignore(_first: object, _second: object) -> None:
    pass
