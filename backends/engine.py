"""What every engine promises. Must not know which engines there are."""

from __future__ import annotations

from typing import Protocol

from backends.events import Emit
from backends.records import RunRequest


class Engine(Protocol):
    """Answers prompts for one target."""

    async def run(self, request: RunRequest, emit: Emit) -> None:
        """Answer one prompt, emitting its events; exactly one terminal event, the last one, whatever happens.

        Cancelling the task stops the work, emits Cancelled and re-raises CancelledError. Nothing else is raised:
        every failure is a Failed event with a sentence.
        """

    async def close(self) -> None:
        """Give back processes, memory and sockets; idempotent."""
