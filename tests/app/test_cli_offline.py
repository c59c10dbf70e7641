"""The command line where not even the loopback network is up. Must not reach anything."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to take the network away")
def test_practice_without_a_loopback_network_says_so() -> None:
    cut = ("unshare", "--map-root-user", "--net")
    if subprocess.run([*cut, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    command = [*cut, sys.executable, "-m", "app", "run", "hi", "--target", "practice"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "This machine's own loopback network is down" in done.stderr
    assert "Local models work all the same" in done.stderr
    assert "cost unknown" not in done.stdout
