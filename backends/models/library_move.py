"""Moves the library's folder from the event loop, with the files in a thread. Must not know settings or windows."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.models.given_path import given_folder
from backends.models.move import Mover
from backends.models.move_recovery import abandon, same_place
from backends.models.verify import OnProgress

if TYPE_CHECKING:
    from backends.models.library import Library

Switch = Callable[[Path], Coroutine[Any, Any, None]]


async def move_folder(
    library: Library, new: Path, on_progress: OnProgress, cancelled: Callable[[], bool], switch: Switch
) -> bool:
    """As `Library.move_folder`."""
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def work() -> bool:
        target = Path(os.path.abspath(given_folder(new)))

        def switch_now() -> None:
            asyncio.run_coroutine_threadsafe(switch(target), loop).result()

        return _move(library, target, switch_now, on_progress, lambda: stop.is_set() or cancelled())

    future = loop.run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({future})
        raise


def _move(
    library: Library,
    target: Path,
    switch: Callable[[], None],
    on_progress: OnProgress,
    cancelled: Callable[[], bool],
) -> bool:
    if same_place(library.folder, target):
        return True
    try:
        with library.moving() as journal:
            abandon(journal, target)
            mover = Mover(library.folder, target, journal, switch=switch, on_progress=on_progress, cancelled=cancelled)
            moved = mover.run()
            if moved is not None:
                library.moved_to(target, moved.hashes)
    finally:  # after trouble, too, some models may not be where they were
        library.scan()
    return moved is not None
