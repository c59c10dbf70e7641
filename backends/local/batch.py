"""Several answers at once over one context: prompts in chunks, then a token each per decode. Must not know messages.

Each turn reads at most one chunk of one prompt and then decodes one token of every answer under way, so that a new
prompt holds the others up for one chunk at a time. The two are decodes of their own: in a cache with a stream for each
sequence llama.cpp computes together only what has as many tokens in each sequence, so a chunk in the same llama_batch
would be computed apart all the same, and cut one token shorter. So a prompt is read in the same steps as in
decode.Session, and gives the same bits there as here. While one prompt is read the next ones wait: what they share with
it is then copied, not read again.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from backends.local.answers import Answer
from backends.local.decode import DECODED, INT_BYTES, Outcome, stopped
from backends.local.flusher import FLUSH_S
from backends.local.model import LoadedModel
from backends.local.pieces import Pieces
from backends.local.slots import Slot, Slots

NOBODY = 0
PATIENCE = 8  # decodes with a gap: the app sends the next prompt when it hears of an end
LONGEST_FLUSH_S = 0.16  # between texts of one answer, however many there are
OnEnd = Callable[[int, Outcome], None]
AtWork = Callable[[int], None]


class Batch:
    """Answers under way and those that wait. `turn` computes; `on_end` hears of each end with the run's number.

    `at_work` is told whose decode begins, so that a cancel can stop it at once; where several answers share it,
    nobody's: a cancel then waits for the end of the turn.
    """

    def __init__(self, model: LoadedModel, *, at_work: AtWork, on_end: OnEnd) -> None:
        self.model = model
        self._api = model.api
        memory = model.api.llama_get_memory(model.context)
        self._slots = Slots(model.api, memory, model.n_parallel, model.n_ctx, model.n_batch)
        self._chunk = _Rows(model.api, model.n_batch)
        self._step = _Rows(model.api, model.n_parallel)
        self._pieces = Pieces(model.api, model.vocab)
        self._at_work = at_work
        self._on_end = on_end
        self._waiting: deque[Answer] = deque()
        self._reading: Slot | None = None
        self._flush_error: BaseException | None = None
        self._gap_for = 0

    def close(self) -> None:
        for answer in self._all():
            answer.close()
        self._chunk.close()
        self._step.close()

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._slots.busy)

    def add(self, answer: Answer) -> None:
        self._waiting.append(answer)

    def cancel(self, ids: Collection[int]) -> None:
        """End these runs, wherever they are; others go on."""
        for answer in self._all() if ids else ():
            if answer.id in ids:
                self._end(answer)

    def drop_all(self) -> list[int]:
        """Let go of all runs, each with the text it has; their numbers. What the streams hold is not known any more."""
        answers = self._all()
        for answer in answers:
            with contextlib.suppress(Exception):  # what cannot be handed out is why they are dropped
                answer.end(self.model.n_threads)
            self._leave(answer)
        for slot in self._slots.all:
            self._slots.forget(slot, 0)
        return [answer.id for answer in answers]

    def turn(self) -> None:
        """One chunk of a prompt and one token of each answer; raises WorkerError where llama.cpp fails."""
        if self._flush_error is not None:
            error, self._flush_error = self._flush_error, None
            raise error
        if self._reading is None and self._waiting and self._slots.has_free:
            self._reading = self._begin(self._waiting[0])
            self._waiting.popleft()
        if self._reading is not None:
            self._read(self._reading)
        if writing := [slot for slot in self._slots.busy if slot is not self._reading]:
            self._write(writing)

    @contextlib.contextmanager
    def flushing(self) -> Iterator[None]:
        """Meanwhile a thread hands out text, while llama.cpp computes.

        As many lines a second as one answer makes by itself: each costs both processes CPU that decoding wants.
        """
        self._flush_error = None
        done = threading.Event()
        thread = threading.Thread(target=self._flush_in_time, args=(done,), name="flush", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _flush_in_time(self, done: threading.Event) -> None:
        while not done.wait(min(FLUSH_S * max(1, len(self._slots.busy)), LONGEST_FLUSH_S)):
            try:
                for slot in self._slots.all:
                    if (answer := slot.answer) is not None:
                        answer.flush()
            except BaseException as error:  # noqa: BLE001 - it belongs to the runs, whose thread raises it again
                self._flush_error = error
                return

    def _all(self) -> list[Answer]:
        begun = (slot.answer for slot in self._slots.busy if slot.answer is not None)
        return list(dict.fromkeys([*self._waiting, *begun]))  # one that failed as it began is in both

    def _begin(self, answer: Answer) -> Slot:
        slot = self._slots.take(answer)
        answer.on_prefill(len(slot.held), len(answer.prompt))
        return slot

    def _read(self, slot: Slot) -> None:
        """One chunk of its prompt, in whole steps from 0; with the last one comes the first token."""
        answer, width = slot.answer, self.model.n_batch
        assert answer is not None
        start, total = len(slot.held), len(answer.prompt)
        chunk = answer.prompt[start : min(total, start - start % width + width)]
        at_end = start + len(chunk) == total
        self._chunk.fill_prompt(slot.seq, chunk, start, want_logits=at_end)
        if not self._decode(self._chunk, [slot], answer.id):
            return
        slot.held.extend(chunk)
        if start == slot.exact and len(chunk) == width and self.model.has_all_threads:
            slot.exact += width
        answer.on_prefill(len(slot.held), total)
        if at_end:
            self._reading = None
            self._draw(slot, len(chunk) - 1)

    def _write(self, writing: list[Slot]) -> None:
        """One token of each answer under way."""
        has_gap = self._reading is None and writing[-1].seq - writing[0].seq >= len(writing)
        self._gap_for = self._gap_for + 1 if has_gap else 0
        if self._gap_for > PATIENCE:
            self._slots.close_ranks(writing)
            writing = self._slots.busy
        answers = [slot.answer for slot in writing if slot.answer is not None]
        self._step.fill_step(writing, [answer.next_token for answer in answers])
        if not self._decode(self._step, writing, answers[0].id if len(answers) == 1 else NOBODY):
            return
        width = len(writing)
        for slot, answer in zip(writing, answers, strict=True):
            slot.held.append(answer.next_token)
            answer.count_step(width)
        for row, slot in enumerate(writing):
            self._draw(slot, row)

    def _draw(self, slot: Slot, row: int) -> None:
        answer = slot.answer
        assert answer is not None
        token = self._api.llama_sampler_sample(answer.chain, self.model.context, row)
        answer.add(token, self._pieces[token], time.monotonic_ns(), len(slot.held))
        if answer.ending is not None:
            self._end(answer)

    def _decode(self, rows: _Rows, slots: Sequence[Slot], request_id: int) -> bool:
        """Compute; False when it was stopped, after which the cache holds none of it, and it can be done again."""
        self._at_work(request_id)
        status = int(self._api.llama_decode(self.model.context, rows.batch))
        if status == DECODED or stopped(status):
            return True
        for slot in slots:
            self._slots.forget(slot, len(slot.held))
        return False

    def _end(self, answer: Answer) -> None:
        outcome = answer.end(self.model.n_threads)
        self._leave(answer)
        self._on_end(answer.id, outcome)

    def _leave(self, answer: Answer) -> None:
        if answer in self._waiting:
            self._waiting.remove(answer)
        for slot in self._slots.all:
            if slot.answer is answer:
                slot.answer = None
                if slot is self._reading:
                    self._reading = None
        answer.close()


class _Rows:
    """A llama_batch that is used again and again; `close` frees it."""

    def __init__(self, api: Any, n_rows: int) -> None:
        self._api = api
        self.batch = api.llama_batch_init(n_rows, 0, 1)
        self._seqs = [-1] * n_rows
        for row in range(n_rows):
            self.batch.n_seq_id[row] = 1

    def close(self) -> None:
        self._api.llama_batch_free(self.batch)

    def fill_prompt(self, seq: int, tokens: Sequence[int], start: int, *, want_logits: bool) -> None:
        count = len(tokens)
        self._fill(tokens, range(start, start + count), [seq] * count)
        ctypes.memset(self.batch.logits, 0, count)
        self.batch.logits[count - 1] = want_logits

    def fill_step(self, slots: Sequence[Slot], tokens: Sequence[int]) -> None:
        self._fill(tokens, [len(slot.held) for slot in slots], [slot.seq for slot in slots])
        ctypes.memset(self.batch.logits, 1, len(slots))

    def _fill(self, tokens: Sequence[int], positions: Sequence[int], seqs: Sequence[int]) -> None:
        batch = self.batch
        batch.n_tokens = len(tokens)
        for pointer, values in ((batch.token, tokens), (batch.pos, positions)):
            data = array.array("i", values)
            ctypes.memmove(pointer, data.buffer_info()[0], len(tokens) * INT_BYTES)
        for row, seq in enumerate(seqs):
            if self._seqs[row] != seq:
                self._seqs[row] = seq
                batch.seq_id[row][0] = seq
