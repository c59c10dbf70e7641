from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QMainWindow
from pytestqt.qtbot import QtBot

import widgets
from widgets import theme
from widgets.theme import DARK, LIGHT, Palette
from widgets.values import ThemeChoice

DRESSES: tuple[tuple[Palette, ThemeChoice], ...] = ((LIGHT, "light"), (DARK, "dark"))
TEXT_ON = [
    ("text", "canvas"), ("text", "surface"), ("text", "sunken"), ("text", "code"), ("muted", "canvas"),
    ("muted", "surface"), ("muted", "sunken"), ("accent", "surface"), ("accent", "accent_soft"),
    ("on_accent", "accent"), ("on_accent", "accent_hover"),
    ("here", "here_soft"), ("here", "surface"), ("away", "away_soft"),
    ("danger", "surface"), ("danger", "danger_soft"), ("text", "danger_soft"), ("caution", "caution_soft"),
    ("caution", "surface"), ("text", "caution_soft"),
]  # fmt: skip


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of an sRGB colour."""
    made = QColor(colour)
    red, green, blue = (_linear(part) for part in (made.redF(), made.greenF(), made.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT_ON)
def test_text_is_readable(palette: Palette, ink: str, ground: str) -> None:
    assert contrast(getattr(palette, ink), getattr(palette, ground)) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_borders_of_controls_can_be_seen(palette: Palette) -> None:
    assert contrast(palette.outline, palette.surface) >= 3
    assert contrast(palette.accent, palette.surface) >= 3
    assert contrast(palette.accent, palette.canvas) >= 3


def test_syntax_colours_are_readable_on_our_code_ground(dressed: None, qapp: QApplication) -> None:
    for palette, choice in DRESSES:
        theme.apply(qapp, choice)
        style = theme.answer_style()
        assert style.background == palette.surface
        for name, colour in style.syntax.items():
            assert contrast(str(colour), palette.code) >= 4.5, f"{name} in {palette.name}"


def test_colours_are_named_in_the_theme_only() -> None:
    """The answer view brings defaults of its own for use without a theme."""
    own = {"theme.py", "answer_style.py"}
    for path in Path(widgets.__file__).parent.glob("*.py"):
        if path.name not in own:
            found = re.findall(r"#[0-9a-fA-F]{6}\b|QColor\(\s*\d", path.read_text())
            assert not found, f"{path.name} names colours: {found}"


def test_applying_changes_what_is_painted(dressed: None, qapp: QApplication, qtbot: QtBot) -> None:
    shown = QMainWindow()
    shown.resize(80, 40)
    qtbot.addWidget(shown)
    for palette, choice in reversed(DRESSES):
        theme.apply(qapp, choice)
        assert qapp.palette().window().color() == QColor(palette.canvas)
        assert shown.grab().toImage().pixelColor(1, 1) == QColor(palette.canvas)
        assert theme.color("text") == QColor(palette.text)


def test_the_shipped_typeface_is_used(dressed: None, qapp: QApplication) -> None:
    assert qapp.font().families()[0] == "Inter"
    assert theme.font("title").pointSizeF() > theme.font("heading").pointSizeF() > theme.font("body").pointSizeF()


def test_the_bare_window_takes_one_font_and_the_rest_comes_with_the_sheet() -> None:
    code = """
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QApplication
from widgets import theme
app = QApplication([])
theme.apply_bare(app, "dark")
print(len(QFontDatabase.styles("Inter")), app.styleSheet() == "", app.palette().window().color().name())
theme.apply(app, "dark")
print(len(QFontDatabase.styles("Inter")), app.styleSheet() == "", app.font().family())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [f"1 True {theme.DARK.canvas}", "4 False Inter"]
