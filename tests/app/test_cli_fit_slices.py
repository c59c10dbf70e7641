"""`nearfar fit` where llama.cpp sees one slice of several: the real pynvml and worker, with stand-ins for drivers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.backends.devices.stand_in import machine
from tests.contracts.places import ROOT
from tests.stand_in_gpu import GIB, compiled

# A child of our own whose workers see the cards that are named; all the rest is the program.
WITH_CARDS = """
import json, os, sys
from pathlib import Path
from backends.local import engine
from tests.stand_in_gpu import Card, worker_with
command = worker_with(Path(os.environ["LIBRARY"]), [Card(*card) for card in json.loads(os.environ["CARDS"])])
engine.worker_command = lambda: command
from app.cli import main
sys.exit(main(["fit", "--json"]))
"""


def test_the_one_slice_that_llama_cpp_sees_is_the_one_that_counts(tmp_path: Path) -> None:
    stand_in = machine("a100_mig")
    visible = ("NVIDIA A100-SXM4-40GB MIG 2g.10gb", 9 * GIB, 9 * GIB, "0000:c1:00.0")
    cards = {"LIBRARY": str(compiled(tmp_path)), "CARDS": json.dumps([visible])}
    done = subprocess.run(
        [sys.executable, "-c", WITH_CARDS],
        env={**os.environ, **stand_in, **cards, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert [each["name"][-8:] for each in body["devices"][:-1]] == [" 3g.20gb", " 2g.10gb", " slice 4"]
    used = {part["device"] for choice in body["choices"] for part in choice["parts"] if part["kind"] == "gpu"}
    assert used == {visible[0]}
    assert not any("once llama.cpp" in choice["reason"] for choice in body["choices"])
