"""The practice endpoint's process: llama.cpp's own HTTP server on 127.0.0.1. The only importer of xllamacpp.

Must not write a file, read the environment, or listen anywhere but on loopback. It reads one JSON line from stdin
(model, key, alias), prints one with its port, and ends when stdin does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TextIO

from backends.core_files import leave_no_core_file
from backends.egress_guard import guard

PR_SET_PDEATHSIG = 1
SLOTS = 4
DEMO_CONTEXT = 2048  # of the model that is shipped, in tokens
# An origin that no page can have, so that no page in a browser is let near the server.
NO_ORIGIN = "https://nearfar.invalid"


def main() -> int:
    """Serve until stdin ends. Returns the exit code."""
    guard()  # it answers, and asks nobody
    report = _take_over_stdout()
    _die_with_parent()
    leave_no_core_file()
    settings = json.loads(sys.stdin.readline())
    try:
        server, port = _serve(settings)
    except Exception as error:  # noqa: BLE001  whatever it is, the parent must be told why
        print(json.dumps({"error": (str(error) or type(error).__name__)[:300]}), file=report, flush=True)
        return 1
    print(json.dumps({"port": port}), file=report, flush=True)
    sys.stdin.read()
    # Without waiting for answers in progress: whoever asked has gone.
    del server
    os._exit(0)


def _serve(settings: dict[str, str]) -> tuple[object, int]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.cors_origins = NO_ORIGIN
    params.cors_credentials = False
    # Questions asked together are answered together, out of one cache that has room for all of them; none gets more
    # context than the model was trained for.
    params.n_parallel = SLOTS
    params.kv_unified = True
    params.n_ctx = SLOTS * DEMO_CONTEXT
    params.n_gpu_layers = 0
    # More threads than free cores make a small model wait on itself; one is the fastest when the machine is busy.
    params.cpuparams.n_threads = 1
    params.cache_ram_mib = 0
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    params.verbosity = 1
    server = xllamacpp.Server(params)
    return server, int(server.listening_address.rpartition(":")[2])


def _take_over_stdout() -> TextIO:
    """Keep the pipe for ourselves and point fd 1 at stderr, where native code may print what it likes."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report


def _die_with_parent() -> None:
    """Linux: be killed when the parent is. Elsewhere, and if it died just before, the end of stdin does it."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
