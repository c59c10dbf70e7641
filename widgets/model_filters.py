"""The line above the catalogue: search, what fits, what is installed, one model, the order. Must not know the rows."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QLineEdit, QSizePolicy, QWidget

from widgets import icons, parts, theme
from widgets.flow import FlowLayout
from widgets.menu_chip import MenuChip
from widgets.model_table import HEADS, Column, Filter

SEARCH_AFTER_MS = 120
AS_LISTED = "-1"


class ModelFilters(QWidget):
    """`changed` carries a Filter, `sorted_by` a column (-1: as listed) and whether it goes downwards."""

    changed = Signal(object)
    sorted_by = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__()
        self._search = QLineEdit()
        self._search.setPlaceholderText("Search models and quants")
        self._search.setAccessibleName("Search models")
        self._search.setToolTip("Words in the name of a model, a quant or a repo (Ctrl+F)")
        self._search.setClearButtonEnabled(True)
        self._search.setAcceptDrops(False)  # a file dropped here goes to the page
        self._search.setFixedWidth(210)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SEARCH_AFTER_MS)
        self._later.timeout.connect(self._say)
        self._search.textChanged.connect(self._later.start)
        self._fits = _toggle("Only what fits", "Hide what does not run on this machine at the context chosen above.")
        self._installed = _toggle("Installed", "Show only models whose file is on this disk.")
        for made in (self._fits, self._installed):
            made.clicked.connect(self._say)
        self._model = MenuChip("Models", "Show the quants of one model only.")
        self._model.set_options((("", "All models"),))
        self._model.chosen.connect(self._say)
        self._sort = MenuChip("Order", "Sort the catalogue; a click on a column's head does the same.")
        self._sort.set_options(_orders())
        self._sort.chosen.connect(self._sorted)
        layout = FlowLayout(self, theme.TIGHT)
        for part in (self._search, self._fits, self._installed, self._model, self._sort):
            layout.addWidget(part)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def set_models(self, names: Sequence[str]) -> None:
        """The models there are, each once."""
        self._model.set_options((("", "All models"), *((name, name) for name in names)))

    def filter(self) -> Filter:
        return Filter(self._search.text().strip(), self._fits.isChecked(), self._installed.isChecked(),
                      self._model.value())  # fmt: skip

    def clear(self) -> None:
        """Show everything again."""
        self._search.clear()
        self._fits.setChecked(False)
        self._installed.setChecked(False)
        self._model.choose("")
        self._say()

    def type(self, text: str) -> None:
        """Letters typed elsewhere go on here."""
        self.focus_search()
        self._search.insert(text)

    def focus_search(self) -> None:
        self._search.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def show_order(self, column: int, downwards: bool) -> None:
        """What a click on a column's head chose."""
        value = AS_LISTED if column < 0 else f"{column}{'-' if downwards else ''}"
        self._sort.choose(value)

    def _sorted(self, value: str) -> None:
        self.sorted_by.emit(int(value.rstrip("-")) if value != AS_LISTED else -1, value.endswith("-"))

    def _say(self) -> None:
        self._later.stop()
        for made in (self._fits, self._installed):
            icons.dress(made, "check" if made.isChecked() else "plus", "accent" if made.isChecked() else "muted", 12)
        self.changed.emit(self.filter())


def _toggle(text: str, tip: str) -> parts.Chip:
    made = parts.Chip()
    made.setCheckable(True)
    made.setText(text)
    made.setAccessibleName(text)
    made.setAccessibleDescription(tip)
    parts.set_tip(made, tip)
    icons.dress(made, "plus", "muted", 12)
    return made


def _orders() -> list[tuple[str, str]]:
    options = [(AS_LISTED, "Sort: as listed")]
    for column in Column:
        head = HEADS[column][0]
        options += [(f"{int(column)}", f"{head}, upwards"), (f"{int(column)}-", f"{head}, downwards")]
    return options
