"""The child process that runs llama.cpp: answers requests from stdin. Must not know Qt, keys or networks.

One request after another; where a model was loaded for several answers at once, runs that come meanwhile join in.

Three threads, and one more for the text of a run: the main one loads and decodes, one reads requests (and leaves the
moment the app is gone), one beats twice a second, so that the app can tell a worker that thinks from one that hangs.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from backends.errors import ModelError, NearfarError, WorkerError
from backends.local import process
from backends.local.answers import Answer
from backends.local.batch import Batch
from backends.local.decode import Outcome, Session, refuse_long, tokenize
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
from backends.records import Sampling, Usage

PROGRESS_STEP = 0.01
REST_S = 1.0  # without a request; what is done then must never delay one that follows at once


class Worker:
    """Answers requests with the model that is loaded; `session` for one run at a time, or `batch` for several."""

    def __init__(self, outlet: Outlet, inbox: Inbox, native: Native) -> None:
        self._outlet = outlet
        self._inbox = inbox
        self._native = native
        self._log = LogCapture(native.api)
        self.abort = AbortFlag(native.api)
        self._model: LoadedModel | None = None
        self._session: Session | None = None
        self._batch: Batch | None = None
        self._measurer = Measurer(native, self._log, self.abort)
        self._busy_cores = BusyCores()

    def answer(self, request: Work) -> None:
        """Exactly one ending reply to each request, whatever happens."""
        if isinstance(request, Load):
            self._guarded(partial(self._load, request), request.id)
        elif isinstance(request, Measure):
            self._guarded(partial(self._measure, request), request.id)
        elif self._batch is not None:
            self._run_many(request, self._batch)
        else:
            self._guarded(partial(self._run, request), request.id)

    def _guarded(self, work: Callable[[], None], request_id: int) -> None:
        """Do it; what goes wrong ends this request."""
        try:
            work()
        except LoadCancelled:
            self._outlet.send(RunCancelled(request_id, Usage()))
        except Exception as error:  # noqa: BLE001 - see _failed
            self._outlet.send(_failed(request_id, error))

    def _measure(self, request: Measure) -> None:
        measured = self._measurer.measure(Path(request.path), request.options)
        self._outlet.send(MeasureDone(request.id, measured))

    def rest(self) -> None:
        """What is better done between runs than in one; a run goes without it where it fails."""
        try:
            self._busy_cores.look()
            if self._session is not None:
                self._session.rest()
        except Exception as error:  # noqa: BLE001 - no memory for a copy, above all: the model stays loaded
            sys.stderr.write(f"{type(error).__name__} while resting\n")

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
        if request.options.n_parallel > 1:
            self._batch = Batch(self._model, at_work=self._inbox.at_work, on_end=self._end_run)
        else:
            self._session = Session(self._model)
        if self._model.template_problem:
            self._remark(request.id, self._model.template_problem)
        self._outlet.send(LoadDone(request.id, self._model.report))

    def _unload(self) -> None:
        session, self._session = self._session, None
        batch, self._batch = self._batch, None
        model, self._model = self._model, None
        for user in (session, batch):
            if user is not None:
                user.close()
        if model is not None:
            model.close()

    def _run(self, request: Run) -> None:
        model, session = self._model, self._session
        if model is None or session is None:
            raise ModelError("No model is loaded.")
        prompt, sampling = self._read(model, request)
        # Another number of threads adds up in another order: what must be repeatable always has the same.
        model.share_cores(0.0 if request.exact else self._busy_cores.now())
        outcome = session.run(
            prompt,
            sampling,
            exact=request.exact,
            on_prefill=lambda done, total: self._send_progress(request.id, done, total),
            on_text=lambda text, stamps: self._send_text(request.id, text, stamps),
        )
        self._end_run(request.id, outcome)
        self._busy_cores.look()

    def _run_many(self, first: Run, batch: Batch) -> None:
        """Answer this run and those that come meanwhile, until none is left; each ends by itself."""
        with batch.flushing():
            self._guarded(partial(self._join, first, batch), first.id)
            while batch.busy:
                cancelled = self._inbox.cancelled()
                while (run := self._inbox.next_run()) is not None:
                    self._guarded(partial(self._join, run, batch), run.id)
                batch.cancel(cancelled)
                try:
                    batch.turn()
                except Exception as error:  # noqa: BLE001 - see _failed; what is wrong with a decode is so for all
                    for request_id in batch.drop_all():
                        self._inbox.forget(request_id)
                        self._outlet.send(_failed(request_id, error))
        self._busy_cores.look()

    def _join(self, request: Run, batch: Batch) -> None:
        model = batch.model
        prompt, sampling = self._read(model, request)
        refuse_long(prompt, model.n_ctx)
        if request.exact or not batch.busy:
            model.share_cores(0.0 if request.exact else self._busy_cores.now())
        batch.add(
            Answer(
                request.id,
                model,
                prompt,
                sampling,
                exact=request.exact,
                on_prefill=lambda done, total: self._send_progress(request.id, done, total),
                on_text=lambda text, stamps: self._send_text(request.id, text, stamps),
            )
        )

    def _read(self, model: LoadedModel, request: Run) -> tuple[list[int], Sampling]:
        """The prompt as tokens, and the sampling with the stop sequences that its format needs."""
        text, stop = self._render(model, request)
        prompt = tokenize(model, text, add_special=not (model.bos and text.startswith(model.bos)))
        return prompt, replace(request.sampling, stop=(*request.sampling.stop, *stop))

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

    def _send_progress(self, request_id: int, done: int, total: int) -> None:
        self._outlet.send(PrefillProgress(request_id, time.monotonic_ns(), done, total))

    def _end_run(self, request_id: int, outcome: Outcome) -> None:
        self._inbox.forget(request_id)
        if outcome.ending == "cancelled":
            self._outlet.send(RunCancelled(request_id, outcome.usage, outcome.timings))
        else:
            self._outlet.send(RunDone(request_id, outcome.ending, outcome.usage, outcome.timings))

    def _send_text(self, request_id: int, text: str, stamps: tuple[int, ...]) -> None:
        self._outlet.send(TextDelta(request_id, text[:MAX_DELTA_CHARS], stamps))
        for start in range(MAX_DELTA_CHARS, len(text), MAX_DELTA_CHARS):
            self._outlet.send(TextDelta(request_id, text[start : start + MAX_DELTA_CHARS], ()))


def _failed(request_id: int, error: Exception) -> RequestFailed:
    """The app hears of every error; of one that nobody foresaw without its text, which may quote the prompt."""
    if isinstance(error, NearfarError):
        return RequestFailed(request_id, error.code, error.problem.what, error.problem.fix)
    where = traceback.extract_tb(error.__traceback__)[-1]
    sys.stderr.write(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}\n")
    return RequestFailed(request_id, WorkerError.code, "The local engine met an error of its own.")


def main() -> int:
    """Serve until the app closes our stdin; the process ends in the reading thread."""
    process.leave_no_folder()
    outlet = Outlet(process.take_stdout())
    process.guard()
    inbox = Inbox()
    threading.Thread(target=beat_for_ever, args=(outlet,), name="beat", daemon=True).start()
    native = Native()
    worker = Worker(outlet, inbox, native)
    threading.Thread(target=inbox.read_for_ever, name="requests", daemon=True).start()
    outlet.send(Hello(native.facts()))
    while True:
        if (request := inbox.next(worker.abort, REST_S)) is None:
            worker.rest()
        else:
            worker.answer(request)


if __name__ == "__main__":
    sys.exit(main())
