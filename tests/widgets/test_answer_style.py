"""Light and dark are both easy to read."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from widgets.answer_formats import CODE_HEAD_PX, CODE_PAD_PX, LIST_PX, QUOTE_PX, Formats
from widgets.answer_style import DARK, GRID_PX, LIGHT, SYNTAX_GROUPS, AnswerStyle, Colour


def luminance(colour: Colour) -> float:
    """Relative luminance, WCAG 2.2."""
    seen = QColor(colour)
    parts = (seen.redF(), seen.greenF(), seen.blueF())
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: Colour, second: Colour) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("style", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(style: AnswerStyle) -> None:
    for colour in (style.text, style.muted, style.link, style.quote_text):
        assert contrast(colour, style.background) >= 4.5
    for colour in (style.code_text, style.muted, *style.syntax.values()):
        assert contrast(colour, style.code_background) >= 4.5
    assert contrast(style.text, style.inline_code_background) >= 4.5
    assert contrast(style.link, style.inline_code_background) >= 4.5
    assert contrast(style.text, style.table_header) >= 4.5
    assert contrast(style.selection_text, style.selection) >= 4.5
    assert set(style.syntax) <= set(SYNTAX_GROUPS)


def test_heights_stand_on_the_grid(qtbot: QtBot) -> None:
    for size in (9.0, 10.5, 13.0, 20.0):
        formats = Formats(AnswerStyle(body_size_pt=size, mono_size_pt=size))
        assert formats.line_px % GRID_PX == 0
        assert formats.code_line_px % GRID_PX == 0
        assert formats.line_px > formats.body.pointSizeF()
    assert not {CODE_HEAD_PX % GRID_PX, CODE_PAD_PX % GRID_PX, LIST_PX % GRID_PX, QUOTE_PX % GRID_PX} - {0}
