"""A person at the Models page: this machine, the catalogue, the slider, llama.cpp's own numbers. All parts are real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.exact_numbers import refuse_unseen
from app.models_ranking import Question, ranked, still_exact
from app.models_view import machine_view
from backends.devices.machine import read_machine
from backends.devices.simulated import simulated_machine
from backends.errors import WorkerError
from backends.fit.learned import Learned
from backends.fit.placement import place
from backends.fit.ranking import facts_of
from backends.fit.records import Choice, Wish
from backends.models.catalogue import catalogue, find
from backends.models.records import InstalledModel
from backends.paths import app_paths
from backends.settings import SettingsFile
from backends.workbench import Workbench
from tests.app.models_window import REF, ModelsWindow, hub
from tests.backends.models.library_support import write_model

SMALL = "llama-3.2-1b:Q4_K_M"
LARGE = "llama-3.1-405b:Q4_K_M"
LARGER = "llama-3.3-70b:Q3_K_M"
GIB = 2**30


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication) -> Iterator[ModelsWindow]:
    made = ModelsWindow(qtbot, qapp)
    yield made
    made.close(qapp)


def test_the_page_shows_this_machine_and_judges_the_catalogue(window: ModelsWindow) -> None:
    window.wait(lambda: window.page._view.machine.devices and window.rows)
    machine = read_machine()
    shown = window.page._view.machine.devices[-1]
    assert (shown.kind, shown.name, shown.total_bytes) == ("cpu", machine.cpu.name, machine.cpu.total_bytes)
    refs = {quant.ref for model in catalogue() if not model.not_runnable for quant in model.quants}
    assert refs <= window.rows.keys()
    assert any(row.state == "not_runnable" for row in window.rows.values())
    assert window.rows[LARGE].verdict == "no"
    window.wait(lambda: shown_wanted(window) > 0)


def shown_wanted(window: ModelsWindow) -> int:
    return sum(device.wanted_bytes for device in window.page._view.machine.devices)


def test_the_bars_follow_the_row_that_is_selected(window: ModelsWindow) -> None:
    window.wait(lambda: shown_wanted(window) > 0)
    window.page.select(LARGE)
    window.page.selected.emit(LARGE)
    window.wait(lambda: window.page._view.wanted_ref == LARGE and shown_wanted(window) > 200 * GIB)


def test_levers_are_worked_out_for_the_row_that_is_shown_alone() -> None:
    machine = simulated_machine(["RTX 3060:12:11"], read_machine())
    question = Question(machine, Wish(n_ctx=32_768), Learned(), ref="llama-3.1-8b:Q8_0")
    levers = ranked(question, catalogue()).levers
    assert list(levers) == ["llama-3.1-8b:Q8_0"]
    assert {lever.kind for lever in levers["llama-3.1-8b:Q8_0"]} == {"quant", "context", "kv_type"}


def test_the_slider_moves_every_verdict_and_is_kept(window: ModelsWindow) -> None:
    window.wait(lambda: window.rows)
    before = window.rows[SMALL].needs_bytes
    window.session.models._looking.stop()  # else the next look at the machine would bring the new verdicts too
    window.wait(lambda: not window.session.models._reading)
    for n_ctx in (9_000, 20_000, 70_000, 131_072):  # a drag: many wishes, and the newest counts
        window.page.context_changed.emit(n_ctx)
    window.wait(lambda: window.rows[SMALL].n_ctx == 131_072)
    assert window.page._view.n_ctx == 131_072
    assert window.rows[SMALL].needs_bytes > before + 2**30
    window.page.kv_type_changed.emit("q4_0")
    long = window.rows[SMALL].needs_bytes
    window.wait(lambda: window.rows[SMALL].needs_bytes < long)
    stored = SettingsFile(app_paths().settings_file)
    window.wait(lambda: (stored.load().settings.n_ctx, stored.load().settings.kv_type) == (131_072, "q4_0"))


def test_closing_before_the_slider_rests_keeps_it(qtbot: QtBot, qapp: QApplication) -> None:
    window = ModelsWindow(qtbot, qapp)
    window.page.context_changed.emit(4096)
    window.close(qapp)
    assert SettingsFile(app_paths().settings_file).load().settings.n_ctx == 4096


def test_llama_cpps_own_numbers_replace_those_of_an_installed_model(window: ModelsWindow, tmp_path: Path) -> None:
    window.wait(lambda: window.rows)
    mine = write_model(tmp_path / "mine.gguf")
    window.session.models.library.bring_in([str(mine)], "copy")
    window.wait(lambda: "mine" in window.rows)
    row = window.rows["mine"]
    assert row.state == "installed"
    assert not row.exact
    window.page.exact_requested.emit("mine")
    assert window.rows["mine"].asking
    window.wait(lambda: window.rows["mine"].exact)
    assert not window.rows["mine"].asking
    window.page.context_changed.emit(1024)
    window.wait(lambda: not window.rows["mine"].exact)


def test_llama_cpps_own_numbers_of_a_model_that_is_not_here(
    window: ModelsWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue's 1B at the stand-in, of which only a header is asked."""
    from app.exact_numbers import exact_remote
    from backends.fit.dry_run import sparse_from_headers
    from backends.fit.placement import place
    from backends.models.gguf_file import read_model
    from backends.models.weights import facts_from_header

    with hub(tmp_path / "hub") as server:
        monkeypatch.setenv("NEARFAR_HUB_URL", server.url)
        bench = Workbench(app_paths())
        path = next((tmp_path / "hub").rglob("tiny-Q8_0.gguf"))
        planned = place(facts_from_header(read_model(path), name="tiny"), read_machine(), Wish(n_ctx=1024))

        looked: list[threading.Thread] = []

        def watched(*arguments: Any) -> Any:
            @contextmanager
            def files() -> Iterator[Path]:
                looked.append(threading.current_thread())
                with sparse_from_headers(*arguments) as path:
                    yield path
                looked.append(threading.current_thread())

            return files()

        monkeypatch.setattr("backends.fit.dry_run.sparse_from_headers", watched)

        async def ask() -> tuple[bool, int]:
            fit = await exact_remote(REF, planned, Wish(n_ctx=1024), bench.models, bench.paths)
            await bench.close()
            return fit.exact, fit.host.weights_bytes

        exact, weights_bytes = asyncio.run(ask())
        assert exact
        assert len(looked) == 2
        assert threading.main_thread() not in looked, "a disk that stalls must not hold up every run"
        assert weights_bytes > 0
        assert not [each for each in bench.paths.cache.iterdir() if each.name.startswith("measure-")]


def test_a_gpu_that_llama_cpp_does_not_see_is_said_to_be_so() -> None:
    machine = simulated_machine(["RTX 4090:24:22"], read_machine())
    machine = replace(machine, gpus=tuple(replace(gpu, backend=None) for gpu in machine.gpus))
    found = ranked(Question(machine, Wish(), Learned()), catalogue())
    on_gpu = next(each for each in found.choices if each.fit.verdict == "gpu")
    with pytest.raises(WorkerError, match="does not see that GPU"):
        refuse_unseen(on_gpu.fit, machine)


def test_a_persons_own_file_counts_only_on_what_llama_cpp_uses(tmp_path: Path) -> None:
    path = write_model(tmp_path / "mine.gguf")
    mine = InstalledModel("mine", "mine", "Q8_0", path, (path,), path.stat().st_size, "unverified", "imported")
    machine = replace(simulated_machine(["RTX 4090:24:22", "RTX 3060:12:11"], read_machine()), simulated=False)

    def row(*backends: str | None) -> Choice:
        gpus = tuple(replace(gpu, backend=name) for gpu, name in zip(machine.gpus, backends, strict=True))
        asked = replace(machine, gpus=gpus, engine_known=True)
        found = ranked(Question(asked, Wish(), Learned(), (mine,)), catalogue()).choice("mine")
        assert found is not None
        return found

    assert [part.device.name for part in row(None, "CUDA0").fit.gpus] == ["RTX 3060"]
    assert "as built now: " not in row(None, "CUDA0").reason
    none = row(None, None)
    assert [part.device.name for part in none.fit.gpus] == ["RTX 4090"]
    assert "once llama.cpp is built for it; as built now: on the CPU" in none.reason


def test_a_file_that_is_here_is_judged_by_its_own_header(tmp_path: Path) -> None:
    """It may have been quantised otherwise than the rule has it; the load goes by its header too."""
    path = write_model(tmp_path / "mine.gguf")
    mine = InstalledModel(SMALL, SMALL, "Q4_K_M", path, (path,), path.stat().st_size, "unverified", "imported")
    machine = simulated_machine(["RTX 4090:24:22"], read_machine())
    by_rule = ranked(Question(machine, Wish(), Learned()), catalogue()).choice(SMALL)
    by_header = ranked(Question(machine, Wish(), Learned(), (mine,)), catalogue()).choice(SMALL)
    assert by_rule is not None
    assert by_header is not None
    assert by_header.fit.total_bytes < by_rule.fit.total_bytes / 2
    again = ranked(Question(machine, Wish(), Learned(), (replace(mine, missing_parts=("x",)),)), catalogue())
    assert again.choice(SMALL) == by_rule


def test_the_machine_is_looked_at_by_a_timer_that_stops(window: ModelsWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    models, main = window.session.models, window.session.window
    assert models._looking.isActive()
    assert models._looking.interval() == 2000
    main.open_page("compare")
    assert not models._looking.isActive()
    main.open_page("models")
    assert models._looking.isActive()
    window.wait(lambda: not models._reading)
    monkeypatch.setattr(main, "isMinimized", lambda: True)
    models._look()
    assert not models._reading, "nobody sees a window that is minimised"


def test_equal_gpus_without_any_name_of_their_own_have_a_bar_each() -> None:
    machine = simulated_machine(["Radeon:24:22"] * 2, read_machine())
    gpus = tuple(replace(gpu, backend=f"Vulkan{number}") for number, gpu in enumerate(machine.gpus))
    machine = replace(machine, gpus=gpus)
    fit = place(facts_of(*find(LARGER)), machine, Wish())
    assert len(fit.gpus) == 2
    drawn = machine_view(machine, fit).devices[:2]
    assert [bar.wanted_bytes for bar in drawn] == [part.total_bytes for part in fit.gpus]
    swapped = replace(fit, gpus=(fit.gpus[1], fit.gpus[0]))
    assert still_exact(replace(swapped, exact=True), fit) is None


def test_exact_numbers_hold_while_the_plan_does() -> None:
    roomy = simulated_machine(["RTX 4090:24:22"], read_machine())
    tight = simulated_machine(["RTX 4090:24:3"], read_machine())
    wish = Wish()
    fit = next(
        each.fit for each in ranked(Question(roomy, wish, Learned()), catalogue()).choices if each.fit.verdict == "gpu"
    )
    exact = replace(fit, exact=True, gpus=tuple(replace(part, compute_bytes=7) for part in fit.gpus))
    kept = still_exact(exact, fit)
    assert kept is not None
    assert kept.exact
    assert kept.gpus[0].compute_bytes == 7
    choices = ranked(Question(tight, wish, Learned()), catalogue()).choices
    other = next(
        each.fit for each in choices if each.fit.n_layers == fit.n_layers and each.fit.gpu_layers != fit.gpu_layers
    )
    assert still_exact(exact, other) is None
