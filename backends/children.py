"""Starts the app's own child processes and says what they may see. Must not know what they do."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakSet

KEPT_NAMES = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH"}
    | {"PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "LLAMA_CPP_LIB_PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    | {"DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "USERPROFILE", "APPDATA"}
    | {"LOCALAPPDATA", "PROGRAMDATA", "NUMBER_OF_PROCESSORS"}
)
KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "GGML_", "OMP_", "GOMP_", "HIP_", "ROCR_", "HSA_", "VK_")
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)

_children: WeakSet[asyncio.subprocess.Process] = WeakSet()


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a child may see of `environment`: what native libraries need, never anything that looks like a key."""
    kept = {
        name: value
        for name, value in environment.items()
        if (name.upper() in KEPT_NAMES or name.upper().startswith(KEPT_PREFIXES)) and not SECRET.search(name)
    }
    return kept | {"GGML_NO_BACKTRACE": "1", "PYTHONUTF8": "1"}


async def spawn(command: Sequence[str], **options: Any) -> asyncio.subprocess.Process:
    """`asyncio.create_subprocess_exec` that leaves no child behind, whichever step of it a cancel meets.

    Raises OSError where the command cannot be started.
    """
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*command, **options))
    try:
        return known(await asyncio.shield(starting))
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            process = await starting
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
        raise


def known(process: asyncio.subprocess.Process) -> asyncio.subprocess.Process:
    """The same process, counted from now on among those of `running_children`."""
    _children.add(process)
    return process


def running_children() -> tuple[int, ...]:
    """The ids of our own children that have not ended: what they do is not other programs' work.

    Call it on the loop that starts them.
    """
    return tuple(process.pid for process in _children if process.returncode is None)
