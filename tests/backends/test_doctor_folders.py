"""The doctor at the models folder that is in use: another than the usual one, unusable, or without its disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.doctor import DoctorReport, examine
from backends.doctor_text import as_json, as_text
from backends.paths import app_paths
from backends.settings import Settings
from tests.backends.test_doctor import QUIET, cpu_only


async def test_it_looks_at_the_models_folder_that_is_in_use(tmp_path: Path) -> None:
    paths = app_paths({"NEARFAR_HOME": str(tmp_path / "home")})
    chosen = tmp_path / "big disk" / "models"

    async def told(folder: Path | str) -> DoctorReport:
        return await examine(paths=paths, network=QUIET, probe=cpu_only, settings=Settings(models_folder=str(folder)))

    report = await told(chosen)
    assert as_json(report)["paths"]["models"] == str(chosen)
    assert str(chosen) in as_text(report)
    assert str(paths.models) not in as_text(report)
    chosen.parent.mkdir()
    chosen.write_text("a file")
    (problem,) = [each for each in (await told(chosen)).problems if str(chosen) in each.what]
    assert "is a file, not a folder" in problem.what
    assert "folder for models in Settings" in problem.fix
    odd = await told("~nosuchuser/models")
    assert any("a user that is not known" in each.what for each in odd.problems)
    assert as_json(odd)["paths"]["models"] == str(paths.models)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write everywhere")
async def test_a_models_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    chosen = tmp_path / "models"
    chosen.mkdir(mode=0o500)
    settings = Settings(models_folder=str(chosen))
    report = await examine(paths=app_paths(), network=QUIET, probe=cpu_only, settings=settings)
    assert any(f"may not write in {chosen}" in each.what for each in report.problems)
