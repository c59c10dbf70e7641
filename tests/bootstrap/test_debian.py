"""What happens where system libraries are missing: installed, or a line to type. It must not call the real apt-get."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import debian
import pytest
from debian import Need
from shell import Stop

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Debian is a Linux")

THERE = Need("libc6", "library", "libc.so.6")
ABSENT = Need("libabsent1", "library", "libabsent.so.1")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what the test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, body: str) -> None:
    """A small real program on that PATH, which also writes down how it was called."""
    program = folder / name
    program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{folder}/calls"\n{body}\n', encoding="utf-8")
    program.chmod(0o755)


def as_user(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)


def test_nothing_is_called_when_nothing_is_missing(machine: Path) -> None:
    put(machine, "apt-get", "exit 1")
    debian.ensure([THERE, Need("any", "module", "json"), Need("any", "file", "/"), Need("any", "program", "apt-get")])
    assert not (machine / "calls").exists()


def test_root_installs_only_what_is_missing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine, "apt-get", "exit 0")
    as_user(monkeypatch, 0)
    debian.ensure([THERE, ABSENT])
    calls = (machine / "calls").read_text().splitlines()
    assert calls == ["apt-get -q update", "apt-get install -y --no-install-recommends libabsent1"]


def test_a_user_with_sudo_that_asks_nothing_installs_through_it(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine, "sudo", "exit 0")
    put(machine, "apt-get", "exit 1")
    as_user(monkeypatch, 1000)
    debian.ensure([ABSENT])
    assert "apt-get install -y --no-install-recommends libabsent1" in (machine / "calls").read_text()


def test_a_user_without_sudo_is_given_the_line_to_type(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine, "sudo", "exit 1")
    put(machine, "apt-get", "exit 0")
    as_user(monkeypatch, 1000)
    with pytest.raises(
        Stop, match="sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends libabsent1'\n"
    ):
        debian.ensure([THERE, ABSENT])
    assert (machine / "calls").read_text() == "sudo -n true\n"


def test_where_there_is_no_sudo_the_line_uses_su(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine, "apt-get", "exit 0")
    as_user(monkeypatch, 1000)
    with pytest.raises(Stop, match="su -c 'apt-get update && apt-get install -y --no-install-recommends libabsent1'\n"):
        debian.ensure([ABSENT])


def test_another_linux_is_told_the_names(machine: Path) -> None:
    with pytest.raises(Stop, match=r"lacks libabsent\.so\.1.*package manager"):
        debian.ensure([ABSENT])


def test_a_failed_installation_stops_with_the_command(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine, "apt-get", "exit 100")
    as_user(monkeypatch, 0)
    with pytest.raises(Stop, match="status 100: apt-get install -y --no-install-recommends libabsent1"):
        debian.ensure([ABSENT])


def test_wayland_asks_for_its_own_libraries_only_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    without = debian.window()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert set(debian.window()) - set(without) == set(debian.WAYLAND)
