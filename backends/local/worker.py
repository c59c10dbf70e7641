"""The child process that runs llama.cpp: answers requests from stdin one by one. Must not know Qt, keys or networks.

Three threads: the main one loads and decodes, one reads requests (and leaves the moment the app is gone), one beats
twice a second, so that the app can tell a worker that thinks from a worker that hangs.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

from backends.errors import ModelError, NearfarError, WorkerError
from backends.local import process
from backends.local.decode import Outcome, Session
from backends.local.handles import AbortFlag, LoadCancelled
from backends.local.log_capture import LogCapture
from backends.local.measure import Measurer
from backends.local.messages import (
    Hello,
    Load,
    LoadDone,
    LoadProgress,
    Measure,
    MeasureDone,
    PrefillProgress,
    Remark,
    Reply,
    RequestFailed,
    Run,
    RunCancelled,
    RunDone,
    TextDelta,
)
from backends.local.model import LoadedModel
from backends.local.native import Native
from backends.local.protocol import MAX_DELTA_CHARS
from backends.local.template import PLAIN_STOP, TemplateUnusable, plain_chat
from backends.local.threads import BusyCores
from backends.local.worker_io import Inbox, Outlet, Work, beat_for_ever
from backends.records import Usage

PROGRESS_STEP = 0.01
REST_S = 1.0  # without a request; what is done then must never delay one that follows at once


class Worker:
    """Answers requests one after another with the model that is loaded."""

    def __init__(self, outlet: Outlet, native: Native) -> None:
        self._outlet = outlet
        self._native = native
        self._log = LogCapture(native.api)
        self.abort = AbortFlag(native.api)
        self._model: LoadedModel | None = None
        self._session: Session | None = None
        self._measurer = Measurer(native, self._log, self.abort)
        self._busy_cores = BusyCores()

    def answer(self, request: Work) -> None:
        """Exactly one ending reply to each request, whatever happens."""
        try:
            if isinstance(request, Load):
                self._load(request)
            elif isinstance(request, Measure):
                measured = self._measurer.measure(Path(request.path), request.options)
                self._outlet.send(MeasureDone(request.id, measured))
            else:
                self._run(request)
        except LoadCancelled:
            self._outlet.send(RunCancelled(request.id, Usage()))
        except NearfarError as error:
            self._outlet.send(RequestFailed(request.id, error.code, error.problem.what, error.problem.fix))
        except Exception as error:  # noqa: BLE001 - the app hears of it; without its text, which may quote the prompt
            where = traceback.extract_tb(error.__traceback__)[-1]
            sys.stderr.write(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}\n")
            self._outlet.send(RequestFailed(request.id, WorkerError.code, "The local engine met an error of its own."))

    def rest(self) -> None:
        """What is better done between runs than in one."""
        self._busy_cores.look()
        if self._session is not None:
            self._session.rest()

    def _load(self, request: Load) -> None:
        self._unload()
        self._measurer.close()
        last = -1.0

        def progressed(fraction: float) -> None:
            nonlocal last
            if fraction - last >= PROGRESS_STEP or fraction >= 1.0:
                last = fraction
                self._outlet.send(LoadProgress(request.id, min(1.0, max(0.0, fraction))))

        self._model = LoadedModel(
            self._native, self._log, self.abort, Path(request.path), request.name, request.options, progressed
        )
        self._session = Session(self._model)
        if self._model.template_problem:
            self._remark(request.id, self._model.template_problem)
        self._outlet.send(LoadDone(request.id, self._model.report))

    def _unload(self) -> None:
        session, self._session = self._session, None
        model, self._model = self._model, None
        if session is not None:
            session.close()
        if model is not None:
            model.close()

    def _run(self, request: Run) -> None:
        model, session = self._model, self._session
        if model is None or session is None:
            raise ModelError("No model is loaded.")
        text, stop = self._render(model, request)
        prompt = session.tokenize(text, add_special=not (model.bos and text.startswith(model.bos)))
        sampling = replace(request.sampling, stop=(*request.sampling.stop, *stop))
        # Another number of threads adds up in another order: what must be repeatable always has the same.
        model.share_cores(0.0 if request.exact else self._busy_cores.now())
        outcome = session.run(
            prompt,
            sampling,
            exact=request.exact,
            on_prefill=lambda done, total: self._outlet.send(
                PrefillProgress(request.id, time.monotonic_ns(), done, total)
            ),
            on_text=lambda text, stamps: self._send_text(request.id, text, stamps),
        )
        self._outlet.send(_ending(request.id, outcome))
        self._busy_cores.look()

    def _render(self, model: LoadedModel, request: Run) -> tuple[str, tuple[str, ...]]:
        """The prompt as text, and the stop sequences that its format needs."""
        if model.template is not None:
            try:
                return model.template.render(request.messages), ()
            except TemplateUnusable as problem:
                self._remark(request.id, f"This model's chat template {problem}.")
        return plain_chat(request.messages), (PLAIN_STOP,)

    def _remark(self, request_id: int, problem: str) -> None:
        self._outlet.send(Remark(request_id, "template_plain", f"{problem} The plain chat format is used instead."))

    def _send_text(self, request_id: int, text: str, stamps: tuple[int, ...]) -> None:
        self._outlet.send(TextDelta(request_id, text[:MAX_DELTA_CHARS], stamps))
        for start in range(MAX_DELTA_CHARS, len(text), MAX_DELTA_CHARS):
            self._outlet.send(TextDelta(request_id, text[start : start + MAX_DELTA_CHARS], ()))


def _ending(request_id: int, outcome: Outcome) -> Reply:
    if outcome.ending == "cancelled":
        return RunCancelled(request_id, outcome.usage, outcome.timings)
    return RunDone(request_id, outcome.ending, outcome.usage, outcome.timings)


def main() -> int:
    """Serve until the app closes our stdin; the process ends in the reading thread."""
    process.leave_no_folder()
    outlet = Outlet(process.take_stdout())
    process.guard()
    inbox = Inbox()
    threading.Thread(target=beat_for_ever, args=(outlet,), name="beat", daemon=True).start()
    native = Native()
    worker = Worker(outlet, native)
    threading.Thread(target=inbox.read_for_ever, name="requests", daemon=True).start()
    outlet.send(Hello(native.facts()))
    while True:
        if (request := inbox.next(worker.abort, REST_S)) is None:
            worker.rest()
        else:
            worker.answer(request)


if __name__ == "__main__":
    sys.exit(main())
