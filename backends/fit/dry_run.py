"""Asks llama.cpp itself, in a process of its own, what a planned load would take. Must not load, nor choose the plan.

Nothing is allocated: a 70B takes 0.2 s and 70 MB. The file may be only a header with a hole behind it, as
`sparse_from_header` lays it for a model that is not here yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO

from backends.errors import WorkerConfused, WorkerError, WorkerSilent
from backends.fit.placement import judged, load_options
from backends.fit.records import Fit, Part, Wish
from backends.local.child import WorkerProcess
from backends.local.engine import ERRORS, worker_command
from backends.local.facts import LoadOptions, MeasuredDevice, Measurement
from backends.local.messages import Measure, MeasureDone, RequestFailed
from backends.models.errors import FolderUnusable

LIMIT_S = 30.0
FSCTL_SET_SPARSE = 0x900C4


class DryRun:
    """One worker for any number of questions; `async with` ends it. A question that is cancelled ends it too."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = list(command) if command is not None else worker_command()
        self._ids = itertools.count(1)
        self._worker: WorkerProcess | None = None

    async def __aenter__(self) -> DryRun:
        self._worker = await WorkerProcess.start(self._command)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            if error is not None:
                worker.kill()
            await worker.stop()

    async def measure(self, path: Path, options: LoadOptions, *, limit_s: float = LIMIT_S) -> Measurement:
        """What this load would take.

        Raises ModelError where the file or llama.cpp says no, among them a GPU that this build does not see, and
        WorkerError where the process fails or does not answer in time.
        """
        worker = self._worker
        if worker is None:
            raise WorkerError("The process that measures was not started.")
        late = WorkerSilent(f"llama.cpp did not say within {limit_s:.0f} seconds what this model needs.")
        timer = asyncio.get_running_loop().call_later(limit_s, worker.kill, late)
        try:
            request = Measure(next(self._ids), _absolute(path), options)
            worker.send(request)
            reply = await worker.receive()
        finally:
            timer.cancel()
        if isinstance(reply, RequestFailed) and reply.id == request.id:
            raise ERRORS.get(reply.code, WorkerError)(reply.what, safe="Nothing was loaded.", fix=reply.fix or None)
        if not isinstance(reply, MeasureDone) or reply.id != request.id:
            raise WorkerConfused("The local engine answered a question that was not asked.")
        return reply.measurement


async def dry_run(
    path: Path,
    planned: Fit,
    wish: Wish | None = None,
    *,
    command: Sequence[str] | None = None,
    limit_s: float = LIMIT_S,
) -> Fit:
    """The planned fit with llama.cpp's own sizes, judged anew; raises as `DryRun.measure`. Cancelling ends it."""
    async with DryRun(command) as run:
        measured = await run.measure(path, load_options(planned, wish), limit_s=limit_s)
    return exact_fit(planned, measured)


def exact_fit(planned: Fit, measured: Measurement) -> Fit:
    """Raises WorkerConfused where the devices are not those of the plan."""
    *gpus, host = measured.devices
    if len(gpus) != len(planned.gpus):
        raise WorkerConfused("llama.cpp used other devices than it was told.")
    whole = measured.gpu_layers == measured.n_layers
    fit = replace(
        planned,
        verdict="gpu" if whole else "split" if measured.gpu_layers else "ram",
        n_layers=measured.n_layers,
        gpu_layers=measured.gpu_layers,
        n_ctx=measured.n_ctx,
        gpus=tuple(itertools.starmap(_exact, zip(planned.gpus, gpus, strict=True))),
        host=_exact(planned.host, host),
        exact=True,
    )
    return judged(fit)


@contextlib.contextmanager
def sparse_from_header(header: bytes, size_bytes: int, folder: Path) -> Iterator[Path]:
    """A file of `size_bytes` that begins with `header` and is a hole from there on; it is removed in the end.

    Raises FolderUnusable where the folder takes no such file.
    """
    with sparse_from_headers([(header, size_bytes)], folder) as path:
        yield path


@contextlib.contextmanager
def sparse_from_headers(parts: Sequence[tuple[bytes, int]], folder: Path) -> Iterator[Path]:
    """All parts of a model as (header, size in bytes), in order; gives the first: llama.cpp finds the rest from it."""
    with contextlib.ExitStack() as stack:
        try:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="measure-", dir=folder)))
            paths = [place / _part_name(number, len(parts)) for number in range(1, len(parts) + 1)]
            for path, (header, size_bytes) in zip(paths, parts, strict=True):
                with path.open("wb") as file:
                    _make_sparse(file)
                    file.write(header)
                    file.truncate(max(size_bytes, len(header)))
        except OSError as error:
            raise FolderUnusable(
                f"The model could not be measured before it is downloaded: {folder} takes no such file "
                f"({error.strerror}).",
                safe="Nothing was downloaded.",
            ) from None
        yield paths[0]


def _absolute(path: Path) -> str:
    return str(path.absolute())  # the worker lives in a folder of its own


def _part_name(number: int, count: int) -> str:
    return "model.gguf" if count == 1 else f"model-{number:05}-of-{count:05}.gguf"


def _make_sparse(file: IO[bytes]) -> None:
    """Windows gives a file real space unless it is told that this one has holes; elsewhere nobody need say so."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        done = ctypes.c_ulong()
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(file.fileno()))
        arguments = (handle, FSCTL_SET_SPARSE, None, 0, None, 0, ctypes.byref(done), None)
        if not ctypes.windll.kernel32.DeviceIoControl(*arguments):
            raise OSError(0, "this disk knows no sparse files", os.fspath(file.name))


def _exact(planned: Part, measured: MeasuredDevice) -> Part:
    return replace(
        planned,
        layers=measured.layers,
        weights_bytes=measured.weights_bytes,
        kv_bytes=measured.kv_bytes,
        compute_bytes=measured.compute_bytes,
    )
