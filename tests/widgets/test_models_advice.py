"""The recommendation: one model with one button, two others beside it, and honest words where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from tests.widgets import model_samples as ms
from tests.widgets.models_shown import Models, button, buttons, models, plain, press, said, the
from widgets.model_values import ClosestModel, ModelsView
from widgets.recommendation_card import RecommendationCard

pytestmark = pytest.mark.usefixtures("dressed")
FIRST = "Llama 3.1 8B Instruct, Q8_0"


def card_of(shown: Models) -> RecommendationCard:
    return the(shown.page, RecommendationCard)


def with_state(view: ModelsView, ref: str, state: str) -> ModelsView:
    rows = tuple(replace(row, state=state) if row.ref == ref else row for row in view.rows)  # type: ignore[arg-type]
    return replace(view, rows=rows)


def test_the_first_choice_says_all_in_plain_words(qtbot: QtBot) -> None:
    text = plain(said(card_of(models(qtbot))))
    assert f"Recommended for this machine\n{FIRST}\n{ms.FIRST}" in text
    assert "7.95 GiB to download  ·  67.3 to 104 tok/s, faster than you read (estimated)" in text
    assert "Keeps 8,192 tokens, about 12 pages of text in mind" in text


def test_two_others_have_their_reason_and_button(qtbot: QtBot) -> None:
    shown = models(qtbot)
    text = plain(said(card_of(shown)))
    assert f"Faster\nLlama 3.2 3B Instruct, Q8_0\n{ms.FASTER} 171–178 tok/s, 3.19 GiB." in text
    assert f"Better answers, slower\nLlama 3.3 70B Instruct, Q3_K_M\n{ms.BETTER}" in text
    press(qtbot, card_of(shown), f"Download: {FIRST}")
    press(qtbot, card_of(shown), "Use in Compare: Llama 3.2 3B Instruct, Q8_0")
    press(qtbot, card_of(shown), "Download: Llama 3.3 70B Instruct, Q3_K_M")
    assert shown.heard == [
        ("download_requested", "llama-3.1-8b:Q8_0"),
        ("use_requested", "llama-3.2-3b:Q8_0"),
        ("download_requested", "llama-3.3-70b:Q3_K_M"),
    ]


def test_one_button_only_is_primary(qtbot: QtBot) -> None:
    primary = [made for made in buttons(models(qtbot).page) if made.property("kind") == "primary"]
    assert [made.accessibleName() for made in primary] == [f"Download: {FIRST}"]


def test_an_installed_one_is_used_instead(qtbot: QtBot) -> None:
    shown = models(qtbot, with_state(ms.on_4090(), "llama-3.1-8b:Q8_0", "installed"))
    assert "7.95 GiB on disk" in plain(said(card_of(shown)))
    press(qtbot, card_of(shown), f"Use in Compare: {FIRST}")
    assert shown.heard == [("use_requested", "llama-3.1-8b:Q8_0")]


def test_one_on_its_way_says_how_far(qtbot: QtBot) -> None:
    view = with_state(ms.on_4090(), "llama-3.1-8b:Q8_0", "downloading")
    line = replace(ms.DOWNLOADS[0], ref="llama-3.1-8b:Q8_0", received_bytes=42, total_bytes=100)
    shown = models(qtbot, replace(view, downloads=(line,)))
    made = button(card_of(shown), f"Downloading, 42 %: {FIRST}")
    assert not made.isEnabled()
    shown.show_view(view)
    assert button(card_of(shown), f"Download waits: {FIRST}")


def test_details_lead_to_the_row(qtbot: QtBot) -> None:
    shown = models(qtbot)
    press(qtbot, card_of(shown), "Details of Llama 3.3 70B Instruct, Q3_K_M")
    assert shown.heard == [("selected", "llama-3.3-70b:Q3_K_M")]
    assert shown.page.selected_ref() == "llama-3.3-70b:Q3_K_M"


def test_local_only_says_why_nothing_can_be_downloaded(qtbot: QtBot) -> None:
    shown = models(qtbot, replace(ms.on_4090(), local_only=True))
    assert "Local only is on: nothing can be downloaded." in said(shown.page)
    made = button(card_of(shown), f"Download: {FIRST}")
    assert not made.isEnabled()
    assert made.accessibleDescription() == "Local only is on: nothing is downloaded"
    assert button(card_of(shown), "Use in Compare: Llama 3.2 3B Instruct, Q8_0").isEnabled(), (
        "what is here stays usable"
    )
    shown.show_view(ms.on_4090())
    assert "Local only is on" not in said(shown.page)
    assert made.isEnabled()


def test_a_disk_that_is_too_small_is_said_beside_the_button(qtbot: QtBot) -> None:
    text = said(card_of(models(qtbot, ms.on_two_3090())))
    assert text.count("The disk of the models folder has only 31.0 GiB free.") == 1, "the faster one has room"


def test_where_nothing_fits_it_says_so_and_names_the_lever(qtbot: QtBot) -> None:
    shown = models(qtbot, ms.nothing_fits())
    card = card_of(shown)
    assert plain(card.text()) == (
        "Nothing in the catalogue fits this machine now Llama 3.2 1B Instruct, Q2_K comes closest: it needs 412 MiB "
        "more than is free. Shorten the context to 4,096 tokens: Fits in RAM, 4.00 GiB less."
    )
    press(qtbot, card, "Shorten the context to 4,096 tokens")
    assert shown.heard == [("context_changed", 4096)]


def test_where_no_lever_helps_it_says_what_else_does(qtbot: QtBot) -> None:
    view = ms.nothing_fits()
    shown = models(qtbot, replace(view, closest=ClosestModel("llama-3.2-1b:Q2_K")))
    assert (
        card_of(shown)
        .text()
        .endswith("Close other programs that use memory, or compare with a cloud model or with Practice.")
    )
    assert buttons(card_of(shown)) == []


def test_where_all_is_slow_the_fastest_is_offered_without_praise(qtbot: QtBot) -> None:
    view = ms.without_gpu()
    rows = tuple(replace(row, rank=None, reason="", tok_s_low=2.0, tok_s_high=3.0) for row in view.rows)
    slower = [replace(row, tok_s_low=4.0, tok_s_high=5.0) if row.ref == "llama-3.2-1b:Q2_K" else row for row in rows]
    text = plain(said(card_of(models(qtbot, replace(view, rows=tuple(slower))))))
    assert "Runs here, but slowly\nLlama 3.2 1B Instruct, Q2_K" in text
    assert "slower than you read" in text
    assert "Recommended" not in text


def test_what_nobody_measured_is_not_called_slow_nor_the_largest_offered(qtbot: QtBot) -> None:
    view = ms.without_gpu()
    rows = tuple(replace(row, rank=None, reason="", tok_s_low=None, tok_s_high=None) for row in view.rows)
    smallest = min((row for row in rows if row.verdict != "no"), key=lambda row: row.file_bytes)
    text = plain(said(card_of(models(qtbot, replace(view, rows=rows)))))
    assert f"A small one until the speed is measured\n{smallest.model}, {smallest.quant}" in text
    assert "slow" not in text
    assert "speed not measured yet" in text
    assert "Recommended" not in text


def test_while_looking_it_promises_nothing(qtbot: QtBot) -> None:
    shown = models(qtbot, ModelsView())
    assert card_of(shown).text().startswith("Looking for a model that fits…")
    assert "The catalogue is being read…" in said(shown.page)
    shown.show_view(ms.on_4090())
    assert card_of(shown).text() == ""
