"""The look: one spacing grid, one type scale, a light and a dark palette, applied to the whole app.

Every colour of the window is named here and nowhere else. Must not know any page or widget class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from resources import resource_path
from widgets import answer_style as answer_style_values
from widgets.answer_style import AnswerStyle

if TYPE_CHECKING:
    from widgets.values import ThemeChoice

# The grid: every gap and margin is one of these, in device-independent pixels.
HAIR, TIGHT, GAP, ROOM, WIDE = 4, 8, 12, 16, 24
RADIUS = 8
CONTROL_HEIGHT = 32
ICON = 16

Role = Literal["caption", "body", "strong", "figure", "heading", "title"]
# The type scale, as factors of the body size, with weights.
TYPE: dict[Role, tuple[float, QFont.Weight]] = {
    "caption": (0.88, QFont.Weight.Normal),
    "body": (1.0, QFont.Weight.Normal),
    "strong": (1.0, QFont.Weight.DemiBold),
    "figure": (1.12, QFont.Weight.DemiBold),
    "heading": (1.25, QFont.Weight.DemiBold),
    "title": (1.6, QFont.Weight.DemiBold),
}
MIN_BODY_PT = 10.0
MONO_FACTOR = 0.94  # fixed-width faces look larger at the same size
FONT_FILES = ("Inter-Regular.otf", "Inter-Italic.otf", "Inter-SemiBold.otf", "Inter-Bold.otf")


@dataclass(frozen=True, slots=True)
class Palette:
    """Named colours as #rrggbb. Each `*_soft` is the ground on which its namesake is written."""

    name: Literal["light", "dark"]
    canvas: str  # behind everything
    surface: str  # lanes, editors, cards
    sunken: str  # hover, chips, inline code
    code: str  # code blocks and table heads: quiet enough for coloured text
    line: str  # quiet borders
    outline: str  # borders of controls: 3:1 against the surface
    text: str
    muted: str
    accent: str
    accent_hover: str
    accent_soft: str
    on_accent: str
    here: str  # on this machine
    here_soft: str
    away: str  # leaves this machine
    away_soft: str
    danger: str
    danger_soft: str
    caution: str
    caution_soft: str


LIGHT = Palette(
    name="light",
    canvas="#f4f5f7",
    surface="#ffffff",
    sunken="#eceef2",
    code="#f5f6f8",
    line="#dfe2e8",
    outline="#868e9b",
    text="#181c23",
    muted="#565f6d",
    accent="#2a56d8",
    accent_hover="#2148bd",
    accent_soft="#e6ecfd",
    on_accent="#ffffff",
    here="#0a6658",
    here_soft="#dff3ee",
    away="#8a4700",
    away_soft="#fdeeda",
    danger="#a8231c",
    danger_soft="#fdecea",
    caution="#6f5200",
    caution_soft="#fcf3d4",
)
DARK = Palette(
    name="dark",
    canvas="#12151a",
    surface="#1a1e25",
    sunken="#252b34",
    code="#20252d",
    line="#2c333d",
    outline="#747e8d",
    text="#e7eaef",
    muted="#a3acb9",
    accent="#86a4ff",
    accent_hover="#a0b8ff",
    accent_soft="#232f52",
    on_accent="#0d1429",
    here="#62cfba",
    here_soft="#143430",
    away="#f2b56b",
    away_soft="#3a2b17",
    danger="#ff9d93",
    danger_soft="#421f1d",
    caution="#e7c75c",
    caution_soft="#37301a",
)

_current = LIGHT


def current() -> Palette:
    """The palette in use; widgets that paint themselves read it when they paint."""
    return _current


def color(name: str) -> QColor:
    """A colour of the palette in use by its field's name."""
    return QColor(getattr(_current, name))


def resolve(choice: ThemeChoice) -> Palette:
    """The palette that a choice means here; "system" follows the desktop where it says what it wants."""
    if choice == "system":
        dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return DARK if dark else LIGHT
    return DARK if choice == "dark" else LIGHT


def apply_bare(app: QApplication, choice: ThemeChoice) -> Palette:
    """What a window with one word in it needs: style, colours and one font. `apply` brings the rest."""
    global _current
    if app.property("nearfar_dressed") is None:
        app.setStyle("Fusion")
        app.setFont(_body_font(app.font()))
        app.setProperty("nearfar_dressed", "bare")
    _current = resolve(choice)
    app.setPalette(_qpalette(_current))
    return _current


def apply(app: QApplication, choice: ThemeChoice) -> Palette:
    """Dress the whole app. Widgets hear of it through QEvent.PaletteChange."""
    from widgets.stylesheet import sheet

    palette = apply_bare(app, choice)
    if app.property("nearfar_dressed") == "bare":
        _load_fonts(FONT_FILES[1:])
        app.setProperty("nearfar_dressed", "whole")
    app.setStyleSheet(sheet(palette, app.font().pointSizeF()))
    return palette


def font(role: Role) -> QFont:
    """A font of the type scale; figures keep a fixed width per digit where the font can."""
    factor, weight = TYPE[role]
    made = QFont(QApplication.font())
    made.setPointSizeF(QApplication.font().pointSizeF() * factor)
    made.setWeight(weight)
    if role == "figure":
        made.setFeature(QFont.Tag("tnum"), 1)
    return made


def answer_style() -> AnswerStyle:
    """How answers look in the palette in use."""
    base, c = (answer_style_values.DARK if _current is DARK else answer_style_values.LIGHT), _current
    body = QApplication.font()
    return replace(
        base,
        text=c.text,
        muted=c.muted,
        background=c.surface,
        link=c.accent,
        selection=c.accent,
        selection_text=c.on_accent,
        code_background=c.code,
        code_border=c.line,
        code_text=c.text,
        inline_code_background=c.sunken,
        quote_bar=c.outline,
        quote_text=c.muted,
        table_header=c.code,
        table_rule=c.line,
        table_header_rule=c.outline,
        rule=c.line,
        body_family=body.families()[0],
        body_size_pt=body.pointSizeF(),
        mono_family=QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family(),
        mono_size_pt=body.pointSizeF() * MONO_FACTOR,
        margin_px=HAIR,
    )


def _load_fonts(names: Sequence[str]) -> None:
    for name in names:
        QFontDatabase.addApplicationFont(str(resource_path("themes", "fonts", name)))


def _body_font(system: QFont) -> QFont:
    """The shipped typeface at the system's size, with the system's own behind it for scripts that it lacks."""
    _load_fonts(FONT_FILES[:1])
    made = QFont(system)
    made.setFamilies(["Inter", *system.families()])
    made.setPointSizeF(max(system.pointSizeF(), MIN_BODY_PT))
    return made


def _qpalette(colours: Palette) -> QPalette:
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: colours.canvas,
        QPalette.ColorRole.WindowText: colours.text,
        QPalette.ColorRole.Base: colours.surface,
        QPalette.ColorRole.AlternateBase: colours.sunken,
        QPalette.ColorRole.ToolTipBase: colours.surface,
        QPalette.ColorRole.ToolTipText: colours.text,
        QPalette.ColorRole.Text: colours.text,
        QPalette.ColorRole.Button: colours.surface,
        QPalette.ColorRole.ButtonText: colours.text,
        QPalette.ColorRole.BrightText: colours.danger,
        QPalette.ColorRole.Link: colours.accent,
        QPalette.ColorRole.LinkVisited: colours.accent,
        QPalette.ColorRole.Highlight: colours.accent,
        QPalette.ColorRole.HighlightedText: colours.on_accent,
        QPalette.ColorRole.PlaceholderText: colours.muted,
        QPalette.ColorRole.Accent: colours.accent,
        QPalette.ColorRole.Mid: colours.line,
        QPalette.ColorRole.Dark: colours.outline,
        QPalette.ColorRole.Light: colours.surface,
        QPalette.ColorRole.Midlight: colours.line,
        QPalette.ColorRole.Shadow: colours.outline,
    }
    for role, value in roles.items():
        palette.setColor(role, QColor(value))
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText, QPalette.ColorRole.WindowText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(colours.muted))
    return palette
