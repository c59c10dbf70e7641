"""Style sheet rules for tables, menus and sliders, which the Models page brought. Must not know a page nor colours."""

from __future__ import annotations

from widgets.theme import GAP, HAIR, RADIUS, Palette


def rules(c: Palette) -> str:
    """What stylesheet.sheet adds to its own."""
    return f"""
QFrame[card="notice"] {{ background: {c.caution_soft}; border: none; border-radius: {RADIUS - 2}px; }}
QFrame[card="command"] {{ background: {c.surface}; border: 1px solid {c.line}; border-radius: {RADIUS - 2}px; }}
QFrame[card="drop"] {{ background: {c.accent_soft}; border: 2px dashed {c.accent}; border-radius: {RADIUS}px; }}
QTableView {{
  background: {c.surface}; border: 1px solid {c.line}; border-radius: {RADIUS}px; outline: none;
  selection-background-color: {c.accent_soft}; selection-color: {c.text};
}}
QTableView:focus {{ border: 1px solid {c.accent}; }}
QHeaderView {{ background: transparent; border: none; }}
QHeaderView::section {{
  background: {c.surface}; color: {c.muted}; border: none; border-bottom: 1px solid {c.line};
  padding: {HAIR}px 6px; font-weight: 600;
}}
QHeaderView::section:hover {{ background: {c.sunken}; color: {c.text}; }}
QPushButton[kind="chip"]:checked {{ background: {c.accent_soft}; border: 1px solid {c.accent}; color: {c.accent}; }}
QPushButton[kind="chip"]:checked:focus {{ border: 2px solid {c.accent}; }}
QPushButton::menu-indicator {{ image: none; width: 0; }}
QPushButton[kind="lever"] {{
  background: {c.surface}; border: 1px solid {c.line}; text-align: left; padding: 0; margin: 1px;
}}
QPushButton[kind="lever"]:hover {{ background: {c.accent_soft}; border-color: {c.accent}; }}
QPushButton[kind="lever"]:focus {{ border: 2px solid {c.accent}; margin: 0; }}
QPushButton[kind="link"] {{ background: transparent; border: none; padding: 0; min-height: 0; margin: 0; }}
QMenu {{ background: {c.surface}; border: 1px solid {c.outline}; padding: {HAIR}px; }}
QMenu::item {{ padding: {HAIR + 2}px {GAP * 2}px; border-radius: {RADIUS - 4}px; }}
QMenu::item:selected {{ background: {c.accent_soft}; color: {c.accent}; }}
QMenu::separator {{ height: 1px; background: {c.line}; margin: {HAIR}px 0; }}
"""
