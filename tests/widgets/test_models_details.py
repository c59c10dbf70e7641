"""The details of a row: the numbers behind its verdict, levers that act, sources, and llama.cpp's own word."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.widgets import model_samples as ms
from tests.widgets.models_shown import Models, button, buttons, models, plain, press, said, settle, the
from widgets.busy_bar import BusyBar
from widgets.memory_table import MemoryTable
from widgets.model_details import ModelDetails
from widgets.model_values import LeverLine, ModelRow, ModelsView
from widgets.recommendation_card import ActionButton

pytestmark = pytest.mark.usefixtures("dressed")
SPLIT = "llama-3.3-70b:Q3_K_M"


def details_of(shown: Models) -> ModelDetails:
    return the(shown.page, ModelDetails)


def chosen(qtbot: QtBot, ref: str, view: ModelsView | None = None, size: tuple[int, int] = (1680, 1050)) -> Models:
    shown = models(qtbot, view, size)
    shown.page.select(ref)
    settle()
    return shown


def changed(ref: str, **changes: object) -> ModelsView:
    view = ms.on_4090()
    rows = tuple(replace(row, **changes) if row.ref == ref else row for row in view.rows)  # type: ignore[arg-type]
    return replace(view, rows=rows)


def test_the_recommended_one_is_shown_until_one_is_selected(qtbot: QtBot) -> None:
    shown = models(qtbot)
    assert said(details_of(shown)).startswith("Llama 3.1 8B Instruct, Q8_0\n7.95 GiB file  ·  8.03 billion parameters")
    assert shown.page.selected_ref() == "llama-3.1-8b:Q8_0"


def test_numbers_per_device_add_up(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT)
    table = the(details_of(shown), MemoryTable)
    text = said(table)
    row = next(row for row in ms.on_4090().rows if row.ref == SPLIT)
    assert [part.device for part in row.parts] == ["NVIDIA GeForce RTX 4090", "AMD Ryzen 9 7950X"]
    for head in ("RTX 4090", "Main memory", "Model", "Context", "Working", "Driver", "Together", "Free now"):
        assert head in text.split("\n")
    assert "14.2 GiB" in text, "what lands on the GPU"
    assert "14.7 GiB" in text, "what is free there"
    assert table.accessibleDescription().startswith(
        "RTX 4090: model 12.6 GiB, context 980 MiB, working 259 MiB, driver 420 MiB; "
        "together 14.2 GiB of 14.7 GiB free."
    )
    assert "31 of 81 layers on GPU" in said(details_of(shown))


def test_many_devices_are_written_as_lines(qtbot: QtBot) -> None:
    shown = models(qtbot, ms.on_eight_h100(), (1680, 1050))
    table = the(details_of(shown), MemoryTable)
    lines = said(table).split("\n")
    assert len(lines) == 8, "seven GPUs and main memory"
    assert lines[0].startswith("H100 80GB HBM3 #1: model ")
    assert lines[-1].startswith("Main memory: ")


def test_levers_act(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT)
    shown.heard.clear()
    levers = [made for made in buttons(details_of(shown)) if made.property("kind") == "lever"]
    assert [made.accessibleName().split(".")[0] for made in levers] == [
        "Take Q4_K_M instead", "Context of 4,096 tokens", "Context memory as q8_0",
    ]  # fmt: skip
    levers[1].click()
    levers[2].click()
    assert shown.heard == [("context_changed", 4096), ("kv_type_changed", "q8_0")]
    assert button(shown.page, "Context memory: Compact (q8_0)").isChecked()
    assert "4,096 tokens, about 6 pages of text" in said(shown.page)
    levers[0].click()
    assert shown.heard[2:] == [("selected", "llama-3.3-70b:Q4_K_M")]
    assert said(details_of(shown)).startswith("Llama 3.3 70B Instruct, Q4_K_M")


def test_a_quant_that_a_filter_hides_is_still_reached(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT)
    press(qtbot, shown.page, "Installed")
    lever = next(made for made in buttons(details_of(shown)) if made.accessibleName().startswith("Take Q4_K_M"))
    lever.click()
    assert shown.page.selected_ref() == "llama-3.3-70b:Q4_K_M"
    assert not button(shown.page, "Installed").isChecked(), "the filter that hid it went"


def test_a_model_that_fits_has_no_levers(qtbot: QtBot) -> None:
    text = said(details_of(models(qtbot)))
    assert "What would change it" not in text


def test_llama_cpp_is_asked_once(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT)
    assert "Computed from the model's shape." in said(details_of(shown))
    press(qtbot, shown.page, "Ask llama.cpp for the exact numbers")
    assert shown.heard == [("exact_requested", SPLIT)]
    shown.show_view(changed(SPLIT, asking=True))
    assert not [made for made in buttons(shown.page) if made.accessibleName() == "Ask llama.cpp for the exact numbers"]
    assert the(details_of(shown), BusyBar).isVisible()
    press(qtbot, shown.page, "Stop asking llama.cpp")
    assert shown.heard[1:] == [("stop_exact_requested", SPLIT)]
    shown.show_view(changed(SPLIT, exact_note="The context was changed."))
    assert "The context was changed." in said(details_of(shown))
    shown.show_view(changed(SPLIT, exact=True))
    assert "These are llama.cpp's own numbers." in said(details_of(shown))
    assert "Ask llama.cpp for the exact numbers" not in [made.accessibleName() for made in buttons(shown.page)]


def test_where_it_comes_from(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT)
    press(qtbot, shown.page, "Licence: Llama 3.1 Community License")
    press(qtbot, shown.page, "Repo: bartowski/Llama-3.3-70B-Instruct-GGUF")
    assert [heard[0] for heard in shown.heard] == ["link_requested"] * 2
    assert shown.heard[0][1] == "https://www.llama.com/llama3_1/license/"
    text = said(details_of(shown))
    assert "Built with Llama" in text
    assert (
        f"Answers sometimes worse than the full Llama 3.3 70B Instruct (KLD 0.0844; 0 is identical).\n{ms.NOTE}" in text
    )


def test_without_an_address_there_is_no_link(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT, changed(SPLIT, licence_url="", repo="", credit=""))
    names = [made.accessibleName() for made in buttons(details_of(shown))]
    assert not any(name.startswith(("Licence", "Repo")) for name in names)
    assert "Licence: Llama 3.1 Community License" in said(details_of(shown))


def test_what_cannot_run_says_why_and_offers_nothing(qtbot: QtBot) -> None:
    shown = chosen(qtbot, ms.VISION.ref)
    text = said(details_of(shown))
    assert "llama.cpp does not support the Llama 3.2 Vision models." in text
    assert "Memory it needs" not in text
    assert not button(shown.page, "Cannot run here: Llama 3.2 11B Vision, Q4_K_M").isEnabled()


def test_a_context_that_the_model_cannot_have_is_said(qtbot: QtBot) -> None:
    shown = chosen(qtbot, "llama-3-8b:Q4_K_M", ms.on_4090(32768))
    assert "It keeps at most 8,192 tokens, about 12 pages of text in mind." in said(details_of(shown))


def test_a_disk_that_is_too_small_is_said_before_the_download(qtbot: QtBot) -> None:
    view = replace(ms.on_4090(), folder_free_bytes=3 * ms.GIB)
    assert "has only 3.00 GiB free" in said(details_of(models(qtbot, view)))
    assert "has only" not in said(details_of(models(qtbot)))


def test_details_follow_the_context_in_place(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT, size=(1280, 800))
    bar = details_of(shown)._scroll.verticalScrollBar()
    bar.setValue(60)
    before = said(details_of(shown))
    shown.show_view(ms.on_4090(32768))
    assert said(details_of(shown)) != before
    assert bar.value() == 60, "the place is kept"


def test_what_has_no_numbers_shows_none(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT, changed(SPLIT, parts=(), levers=(), kld=None, quality_note=""))
    text = said(details_of(shown))
    assert "Memory it needs" not in text
    assert "was not measured" in text


def test_more_levers_than_places_do_not_fail(qtbot: QtBot) -> None:
    many = tuple(LeverLine("quant", f"Q{at}", "ram", 0, 1, "llama-3.1-8b:Q6_K") for at in range(9))
    shown = chosen(qtbot, SPLIT, changed(SPLIT, levers=many))
    assert len([made for made in buttons(shown.page) if made.property("kind") == "lever"]) == 4


def test_words_and_figures(qtbot: QtBot) -> None:
    row: ModelRow = next(row for row in ms.on_4090().rows if row.ref == SPLIT)
    text = plain(said(details_of(chosen(qtbot, SPLIT))))
    assert "The GPU has room for a part of it; the rest runs on the processor." in text
    assert f"Writing: {row.tok_s_low:.2f} to {row.tok_s_high:.2f} tok/s, slower than you read, estimated." in text


def test_what_asking_contacts_is_said_beforehand(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT)
    ask = button(details_of(shown), "Ask llama.cpp for the exact numbers")
    assert "Asks huggingface.co for the head of the file (some 8 MB)" in ask.accessibleDescription()
    assert "huggingface.co" in ask.toolTip()
    shown.show_view(replace(ms.on_4090(), local_only=True))
    assert not ask.isEnabled()
    shown.show_view(replace(changed(SPLIT, state="installed"), local_only=True))
    assert ask.isEnabled(), "for a file that is here nobody is asked"
    assert "huggingface.co" not in ask.accessibleDescription()


def test_the_keyboard_keeps_its_place(qtbot: QtBot) -> None:
    shown = chosen(qtbot, SPLIT)
    ask = button(details_of(shown), "Ask llama.cpp for the exact numbers")
    ask.setFocus()
    shown.show_view(changed(SPLIT, asking=True))
    assert ask.hasFocus()
    shown.show_view(changed(SPLIT, exact=True))
    focus = QApplication.focusWidget()
    assert isinstance(focus, ActionButton), "what can be done next"
    shown.show_view(changed(SPLIT, exact=True, state="downloading"))
    assert focus.hasFocus(), "not thrown elsewhere by its own press"
    shown.heard.clear()
    focus.click()
    assert shown.heard == []
    shown.window.setFocus()
    assert not focus.isEnabled()
