"""Says in words why a worker process ended, from its exit status and its last log lines. Pure."""

from __future__ import annotations

import signal

from backends.errors import WorkerDied

MEMORY_WORDS = (b"out of memory", b"failed to allocate", b"unable to allocate", b"bad_alloc", b"MemoryError")
MISSING_WORDS = (b"llama-cpp-python is not installed", b"Failed to load shared library", b"Shared library with base")
# A process that Windows ended carries the exception's number as its exit code.
WINDOWS_CODES = {0xC0000005: "SIGSEGV", 0xC000001D: "SIGILL", 0xC0000409: "SIGABRT", 0xC0000017: "memory"}
MEMORY_FIX = "Choose a smaller model, a shorter context or fewer GPU layers, then press Retry."


def why_it_died(returncode: int | None, log_tail: bytes) -> WorkerDied:
    """The error for a worker that ended by itself or was ended; never a bare number."""
    name = _signal_name(returncode)
    if name == "memory" or any(words in log_tail for words in MEMORY_WORDS):
        return WorkerDied("The local model stopped: memory ran out.", fix=MEMORY_FIX)
    if any(words in log_tail for words in MISSING_WORDS):
        return WorkerDied(
            "The local engine did not start: llama.cpp is not installed correctly.", fix="Install Nearfar again."
        )
    if name == "SIGILL":
        return WorkerDied(
            "The local model stopped: this computer's processor lacks an instruction that llama.cpp was built to use.",
            fix="Install the build for older processors.",
        )
    if name == "SIGBUS":
        return WorkerDied(
            "The local model stopped: its file changed while it was in use.", fix="Download the model again."
        )
    if name == "SIGKILL":
        return WorkerDied("The local model was ended from outside; the system does that when memory runs out.")
    if name in ("SIGSEGV", "SIGABRT", "SIGFPE"):
        return WorkerDied("The local model stopped: llama.cpp crashed.")
    return WorkerDied("The local model stopped unexpectedly.")


def _signal_name(returncode: int | None) -> str:
    if returncode is None:
        return ""
    if returncode < 0:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return ""
    return WINDOWS_CODES.get(returncode, "")
