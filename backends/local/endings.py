"""Says in words why a worker or a load ended, from an exit status and the last log lines. Pure."""

from __future__ import annotations

import signal

from backends.errors import WorkerDied

# In lower case: llama.cpp, CUDA, C++ and Python each say it in their own way.
MEMORY_WORDS = (
    "out of memory",
    "failed to allocate",
    "unable to allocate",
    "alloc failed",
    "cudamalloc",
    "bad_alloc",
    "memoryerror",
)
MISSING_WORDS = (b"llama-cpp-python is not installed", b"Failed to load shared library", b"Shared library with base")
# A process that Windows ended carries the exception's number as its exit code.
WINDOWS_CODES = {0xC0000005: "SIGSEGV", 0xC000001D: "SIGILL", 0xC0000409: "SIGABRT", 0xC0000017: "memory"}
MEMORY_FIX = "Choose a smaller model, a shorter context or fewer GPU layers, then press Retry."


def memory_ran_out(log: str) -> bool:
    """Whether a log says that memory could not be had."""
    log = log.lower()
    return any(words in log for words in MEMORY_WORDS)


def why_it_died(returncode: int | None, log_tail: bytes) -> WorkerDied:
    """The error for a worker that ended by itself or was ended; never a bare number."""
    name = _signal_name(returncode)
    if name == "memory" or memory_ran_out(log_tail.decode("utf-8", "replace")):
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
