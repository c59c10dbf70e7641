"""The doctor at the models folder that is in use: another than the usual one, unusable, or without its disk."""

from __future__ import annotations

import os
import subprocess
import sys
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


EXAMINE = """
import asyncio, sys
from backends.doctor import examine
from backends.paths import app_paths
from backends.settings import Settings
from tests.backends.test_doctor import QUIET, cpu_only

settings = Settings(models_folder=sys.argv[1])
report = asyncio.run(examine(paths=app_paths(), network=QUIET, probe=cpu_only, settings=settings))
print(*(each.what for each in report.problems), sep="\\n")
"""
# An administrator may write everywhere, but not without the capability that says so.
AS_ANYBODY = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.skipif(sys.platform == "win32", reason="modes of folders")
def test_a_models_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    chosen = tmp_path / "models"
    chosen.mkdir(mode=0o500)
    argv = [*(AS_ANYBODY if os.geteuid() == 0 else ()), sys.executable, "-c", EXAMINE, str(chosen)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert f"may not write in {chosen}" in done.stdout
