"""`doctor` beside other work and in odd places: the memory's speed measured, and folders that cannot be looked at."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from backends.devices.bandwidth import measure_and_keep
from backends.doctor import examine
from backends.doctor_text import as_text
from backends.paths import app_paths
from tests.backends.test_doctor import QUIET, cpu_only, look


async def test_the_memorys_speed_is_measured_once_and_only_when_asked(tmp_path: Path) -> None:
    paths = app_paths({"NEARFAR_HOME": str(tmp_path)})
    unasked = await look(tmp_path)
    assert unasked.devices[-1].bandwidth_gb_s is None
    assert "GB/s" not in as_text(unasked)
    first = await examine(paths=paths, network=QUIET, probe=cpu_only, measure=True)
    assert first.devices[-1].bandwidth_source == "measured"
    assert "(measured now: reads and writes of all cores together)" in as_text(first)
    second = await examine(paths=paths, network=QUIET, probe=cpu_only, measure=True)
    assert second.devices[-1].bandwidth_gb_s == pytest.approx(first.devices[-1].bandwidth_gb_s, abs=0.01)
    assert "(measured before" in as_text(second)


async def test_a_measurement_ends_with_whoever_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, begun, ended = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def watched(*arguments: Any, **more: Any) -> float | None:
        loop.call_soon_threadsafe(begun.set)
        try:
            return measure_and_keep(*arguments, **more)
        finally:
            ended.set()

    monkeypatch.setattr("backends.devices.bandwidth.ROUND_S", 600.0)
    monkeypatch.setattr("backends.doctor.measure_and_keep", watched)
    paths = app_paths({"NEARFAR_HOME": str(tmp_path)})
    measuring = asyncio.create_task(examine(paths=paths, network=QUIET, probe=cpu_only, measure=True))
    await begun.wait()
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring
    assert await asyncio.to_thread(ended.wait, 60)
    assert not paths.cache.exists()


async def test_a_measurement_beside_other_work_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.devices.bandwidth.psutil.cpu_percent", lambda interval: 90.0)
    paths = app_paths({"NEARFAR_HOME": str(tmp_path)})
    report = await examine(paths=paths, network=QUIET, probe=cpu_only, measure=True)
    assert report.devices[-1].bandwidth_gb_s is not None
    assert not paths.cache.exists()


async def test_a_home_that_cannot_be_looked_at_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = await look(tmp_path / ("n" * 300))  # no disk holds such a name, and to ask for it raises
    assert report.paths.data.parent.name == "n" * 300
    shut, exists = tmp_path / "shut", Path.exists

    def refused(path: Path) -> bool:
        if shut in path.parents:
            raise PermissionError(13, "Permission denied")
        return exists(path)

    shut.mkdir()
    monkeypatch.setattr(Path, "exists", refused)  # by its mode it would not be shut for root
    monkeypatch.setattr("backends.doctor.os.access", lambda path, _mode: path != shut)
    folders = [each for each in (await look(shut / "home")).problems if each.code == "folder"]
    assert len(folders) == 5
    assert all(f"may not write in {shut}" in each.what for each in folders)
