"""What llama.cpp itself says a model takes, also of one that is not here yet. Must not know Qt, nor choose a plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from backends.devices.records import Machine
from backends.errors import WorkerError
from backends.fit.records import Fit, Wish
from backends.models.manager import Models
from backends.models.records import InstalledModel
from backends.paths import Paths, ensure_folder


def refuse_unseen(planned: Fit, machine: Machine) -> None:
    """Raises WorkerError where the plan uses a GPU that this llama.cpp does not see, with what would change that."""
    unseen = [part.device.name for part in planned.gpus if part.device.backend is None]
    if unseen:
        known = next((each for each in machine.problems if each.code in ("cpu_build", "gpu_unseen")), None)
        raise WorkerError(
            f"llama.cpp cannot be asked about {unseen[0]}: as it is built here, it does not see that GPU.",
            safe="The estimate stands.",
            fix=known.fix.replace("`", "") if known is not None else "Run nearfar doctor to see why.",
        )


async def exact_here(model: InstalledModel, planned: Fit, wish: Wish) -> Fit:
    """For a model on this disk. Raises ModelError or WorkerError."""
    from backends.fit.dry_run import dry_run

    return await dry_run(model.path, planned, wish)


async def exact_remote(ref: str, planned: Fit, wish: Wish, models: Models, paths: Paths) -> Fit:
    """For a model on the hub: its headers are fetched, some 8 MB, and the rest of the file is a hole.

    Asking is the person's consent to contact the hub. Raises as `Models.plan_for`, and as `exact_here`.
    """
    from backends.fit.dry_run import dry_run

    models.permissions.consent()
    plan = await models.plan_for(ref)
    parts = [await models.hub.header(plan.repo, plan.revision, file.path, file.size_bytes) for file in plan.files]
    folder: Path = paths.cache
    await asyncio.to_thread(ensure_folder, folder)
    async with _laid_out(parts, folder) as path:
        return await dry_run(path, planned, wish)


@asynccontextmanager
async def _laid_out(parts: Sequence[tuple[bytes, int]], folder: Path) -> AsyncIterator[Path]:
    """Sparse files as long as this lasts; a thread makes and removes them, also where nobody waits for it any more."""
    from backends.fit.dry_run import sparse_from_headers

    files = ExitStack()
    making = asyncio.ensure_future(asyncio.to_thread(files.enter_context, sparse_from_headers(parts, folder)))
    try:
        yield await asyncio.shield(making)
    finally:
        await asyncio.wait([making])
        making.exception()  # where it failed while somebody cancelled, nobody else asks
        await asyncio.to_thread(files.close)
