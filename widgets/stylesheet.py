"""The style sheet, made from a palette and the body size. Must not know any colour value nor any page.

Widgets opt in by dynamic properties: `kind` (buttons), `role` (text), `tone` (meaning), `card` (surfaces).
"""

from __future__ import annotations

from widgets import models_sheet
from widgets.theme import CONTROL_HEIGHT, GAP, HAIR, RADIUS, TIGHT, TYPE, Palette


def sheet(colours: Palette, body_pt: float) -> str:
    """The whole app's style sheet."""
    made = (_text(colours, body_pt), _surfaces(colours), _buttons(colours), _fields(colours), _bars(colours))
    return "\n".join((*made, models_sheet.rules(colours)))


def _text(c: Palette, body_pt: float) -> str:
    sizes = "\n".join(
        f'QLabel[role="{role}"] {{ font-size: {body_pt * factor:.2f}pt; font-weight: {weight.value}; }}'
        for role, (factor, weight) in TYPE.items()
    )
    tones = "\n".join(
        f'QLabel[tone="{tone}"] {{ color: {colour}; }}'
        for tone, colour in (
            ("muted", c.muted), ("here", c.here), ("away", c.away), ("danger", c.danger),
            ("caution", c.caution), ("accent", c.accent),
        )
    )  # fmt: skip
    return f"QLabel {{ background: transparent; }}\n{sizes}\n{tones}"


def _surfaces(c: Palette) -> str:
    return f"""
QToolTip {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.outline}; padding: {HAIR}px {TIGHT}px; }}
QFrame[card="surface"] {{ background: {c.surface}; border: 1px solid {c.line}; border-radius: {RADIUS}px; }}
QFrame[card="popup"] {{ background: {c.surface}; border: 1px solid {c.outline}; border-radius: {RADIUS}px; }}
QFrame[card="bar"] {{ background: {c.surface}; border: none; border-bottom: 1px solid {c.line}; }}
QFrame[card="rail"] {{ background: {c.surface}; border: none; border-right: 1px solid {c.line}; }}
QFrame[card="rule"] {{ background: {c.line}; border: none; }}
QFrame[banner="danger"] {{ background: {c.danger_soft}; border: none; border-radius: {RADIUS - 2}px; }}
QFrame[banner="caution"] {{ background: {c.caution_soft}; border: none; border-radius: {RADIUS - 2}px; }}
QFrame[badge="here"] {{ background: {c.here_soft}; border: none; border-radius: {RADIUS - 2}px; }}
QFrame[badge="away"] {{ background: {c.away_soft}; border: none; border-radius: {RADIUS - 2}px; }}
QFrame[badge="caution"] {{ background: {c.caution_soft}; border: none; border-radius: {RADIUS - 2}px; }}
QFrame[card="verdict"] {{ background: {c.sunken}; border: none; border-radius: {RADIUS}px; }}
QFrame[badge="plain"] {{ background: {c.sunken}; border: none; border-radius: {RADIUS - 2}px; }}
QScrollArea, QScrollArea > QWidget > QWidget[ground="clear"] {{ background: transparent; border: none; }}
QSplitter::handle {{ background: transparent; }}
"""


def _buttons(c: Palette) -> str:
    inner = CONTROL_HEIGHT - 4
    return f"""
QPushButton, QToolButton {{
  background: {c.surface}; color: {c.text}; border: 1px solid {c.outline}; border-radius: {RADIUS - 2}px;
  padding: 0 {GAP}px; min-height: {inner}px; margin: 1px;
}}
QPushButton:hover, QToolButton:hover {{ background: {c.sunken}; }}
QPushButton:pressed, QToolButton:pressed {{ background: {c.line}; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {c.accent}; margin: 0; }}
QPushButton:disabled, QToolButton:disabled {{ color: {c.muted}; border-color: {c.line}; background: {c.sunken}; }}
QPushButton[kind="primary"] {{
  background: {c.accent}; color: {c.on_accent}; border: 1px solid {c.accent}; font-weight: 600;
}}
QPushButton[kind="primary"]:hover {{ background: {c.accent_hover}; border-color: {c.accent_hover}; }}
QPushButton[kind="primary"]:focus {{ border: 2px solid {c.text}; }}
QPushButton[kind="primary"]:disabled {{ background: {c.sunken}; color: {c.muted}; border-color: {c.line}; }}
QPushButton[idle="yes"], QPushButton[idle="yes"]:hover {{
  color: {c.muted}; border-color: {c.line}; background: {c.sunken};
}}
QPushButton[kind="stop"] {{ color: {c.danger}; border: 1px solid {c.danger}; font-weight: 600; }}
QPushButton[kind="stop"]:hover {{ background: {c.danger_soft}; }}
QPushButton[kind="stop"]:focus {{ border: 2px solid {c.danger}; }}
QPushButton[kind="quiet"], QToolButton[kind="quiet"] {{
  background: transparent; border: 1px solid transparent; padding: 0 {TIGHT}px;
}}
QPushButton[kind="quiet"]:hover, QToolButton[kind="quiet"]:hover {{ background: {c.sunken}; }}
QPushButton[kind="quiet"]:focus, QToolButton[kind="quiet"]:focus {{ border: 2px solid {c.accent}; }}
QPushButton[kind="quiet"]:checked, QToolButton[kind="quiet"]:checked {{
  background: {c.accent_soft}; color: {c.accent};
}}
QPushButton[kind="quiet"]:disabled, QToolButton[kind="quiet"]:disabled {{ background: transparent; color: {c.muted}; }}
QToolButton[kind="icon"] {{
  background: transparent; border: 1px solid transparent; padding: 0; min-width: {inner}px; max-width: {inner}px;
}}
QToolButton[kind="icon"]:hover {{ background: {c.sunken}; }}
QToolButton[kind="icon"]:focus {{ border: 2px solid {c.accent}; }}
QToolButton[kind="icon"]:checked {{ background: {c.accent_soft}; }}
QToolButton[kind="icon"]:disabled {{ background: transparent; }}
QPushButton[kind="chip"] {{
  background: {c.surface}; border: 1px solid {c.line}; border-radius: {CONTROL_HEIGHT // 2 - 2}px; padding: 0 {GAP}px;
}}
QPushButton[kind="chip"]:hover {{ background: {c.accent_soft}; border-color: {c.accent}; color: {c.accent}; }}
QPushButton[kind="chip"]:focus {{ border: 2px solid {c.accent}; }}
QPushButton[kind="segment"] {{ background: {c.surface}; border: 1px solid {c.line}; margin: 0; padding: 0 {GAP}px; }}
QPushButton[kind="segment"]:hover {{ background: {c.sunken}; }}
QPushButton[kind="segment"]:checked {{
  background: {c.accent_soft}; color: {c.accent}; border: 1px solid {c.accent}; font-weight: 600;
}}
QPushButton[kind="segment"]:focus {{ border: 2px solid {c.accent}; }}
QPushButton[kind="picker"] {{
  text-align: left; font-weight: 600; padding: 0 {TIGHT}px; border: 1px solid {c.line}; background: {c.surface};
}}
QPushButton[kind="picker"]:hover {{ border-color: {c.outline}; background: {c.sunken}; }}
QPushButton[kind="picker"]:focus {{ border: 2px solid {c.accent}; }}
QToolButton[kind="add"] {{
  background: transparent; border: 1px solid {c.line}; border-radius: {RADIUS}px; margin: 0; padding: 0;
}}
QToolButton[kind="add"]:hover {{ background: {c.accent_soft}; border-color: {c.accent}; }}
QToolButton[kind="add"]:focus {{ border: 2px solid {c.accent}; }}
QToolButton[kind="add"]:disabled {{ background: transparent; border-color: {c.line}; }}
QToolButton[kind="rail"] {{
  background: transparent; border: 2px solid transparent; border-radius: {RADIUS}px; color: {c.muted};
  padding: {TIGHT}px 0 {HAIR}px 0; margin: 0;
}}
QToolButton[kind="rail"]:hover {{ background: {c.sunken}; color: {c.text}; }}
QToolButton[kind="rail"]:checked {{ background: {c.accent_soft}; color: {c.accent}; }}
QToolButton[kind="rail"]:focus {{ border: 2px solid {c.accent}; }}
"""


def _fields(c: Palette) -> str:
    return f"""
QLineEdit, QPlainTextEdit, QAbstractSpinBox {{
  background: {c.surface}; color: {c.text}; border: 1px solid {c.outline}; border-radius: {RADIUS - 2}px;
  padding: 0 {TIGHT}px; margin: 1px; selection-background-color: {c.accent}; selection-color: {c.on_accent};
}}
QLineEdit, QAbstractSpinBox {{ min-height: {CONTROL_HEIGHT - 4}px; }}
QAbstractSpinBox {{ padding: 0; }}
QAbstractSpinBox::up-button {{ subcontrol-origin: border; subcontrol-position: top right; width: 0; border: none; }}
QAbstractSpinBox::down-button {{
  subcontrol-origin: border; subcontrol-position: bottom right; width: 0; border: none;
}}
QAbstractSpinBox QLineEdit {{
  border: none; margin: 0; padding: 0 {TIGHT}px; min-height: 0; background: transparent;
}}
QLineEdit, QPlainTextEdit {{ placeholder-text-color: {c.muted}; }}
QPlainTextEdit {{ padding: {HAIR}px; }}
QLineEdit:focus, QPlainTextEdit:focus, QAbstractSpinBox:focus {{ border: 2px solid {c.accent}; margin: 0; }}
QLineEdit:disabled, QAbstractSpinBox:disabled {{ background: {c.sunken}; color: {c.muted}; }}
QPlainTextEdit[kind="prompt"] {{ border: none; margin: 0; background: transparent; }}
QListView {{ background: {c.surface}; border: none; outline: none; }}
QListView:focus {{ border: none; }}
"""


def _bars(c: Palette) -> str:
    return f"""
QScrollBar:vertical {{ background: transparent; width: 12px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 12px; margin: 0; }}
QScrollBar::handle {{ background: {c.outline}; border-radius: 3px; margin: 3px; }}
QScrollBar::handle:vertical {{ min-height: 32px; }}
QScrollBar::handle:horizontal {{ min-width: 32px; }}
QScrollBar::handle:hover {{ background: {c.muted}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
"""
