"""The helper that tells whether a process has ended, on real processes in each state that counts."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from tests.processes import is_gone, wait_gone

WAIT = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_a_running_process_is_not_gone() -> None:
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE) as child:
        assert not is_gone(child.pid)
        assert not wait_gone(child.pid, limit_s=0.05)
        child.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no zombies")
def test_a_stopped_process_is_not_gone_and_a_zombie_is() -> None:
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE) as child:
        psutil.Process(child.pid).suspend()
        assert not is_gone(child.pid)
        child.kill()
        assert wait_gone(child.pid, limit_s=30.0)
        assert psutil.pid_exists(child.pid), "nobody has reaped it yet"


def test_a_reaped_process_is_gone_and_one_of_two_is_not_enough() -> None:
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE) as left, subprocess.Popen(WAIT, stdin=subprocess.PIPE) as ended:
        ended.kill()
        ended.wait()
        assert is_gone(ended.pid)
        assert not wait_gone(ended.pid, left.pid, limit_s=0.05)
        left.kill()
