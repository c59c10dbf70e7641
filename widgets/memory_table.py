"""What a model puts on each device, number by number. Must not know formulas.

Up to three devices stand in columns; more are written as a line each, since columns would be too narrow to read.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import model_words as words
from widgets import parts, theme
from widgets.model_values import PartLine

COLUMNS = 3
_LINES = (
    ("Model", "The weights that land there."),
    ("Context", "The context memory (KV cache): it grows with the context."),
    ("Working", "Room to compute in."),
    ("Driver", "What the driver takes for every program, besides the model."),
    ("Together", ""),
    ("Free now", "What the device had free when it was last read."),
)


class MemoryTable(QWidget):
    """A small table of labels that is filled anew in place."""

    def __init__(self) -> None:
        super().__init__()
        self._grid_box = QWidget()
        grid = QGridLayout(self._grid_box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.TIGHT)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 1)
        self._heads = [_cell("caption", "muted") for _ in range(COLUMNS)]
        self._cells = [[_cell("strong" if line == 4 else "caption") for _ in range(COLUMNS)] for line in range(6)]
        for line, (name, tip) in enumerate(_LINES):
            made = parts.label(name, "strong" if line == 4 else "caption", "" if line == 4 else "muted")
            parts.set_tip(made, tip)
            grid.addWidget(made, line + 1, 0)
        for column in range(COLUMNS):
            grid.addWidget(self._heads[column], 0, column + 1)
            for line in range(6):
                grid.addWidget(self._cells[line][column], line + 1, column + 1)
        self._lines = parts.label(role="caption", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._grid_box)
        layout.addWidget(self._lines)

    def show_parts(self, shown: Sequence[PartLine], hosts: Sequence[str]) -> None:
        """`hosts` are the devices that are main memory."""
        names = words.device_names([part.device for part in shown], hosts)
        in_columns = len(shown) <= COLUMNS
        self._grid_box.setVisible(in_columns)
        self._lines.setVisible(not in_columns)
        spoken = [_spoken(part, name) for part, name in zip(shown, names, strict=True)]
        self.setAccessibleName("Memory it needs")
        self.setAccessibleDescription(" ".join(spoken))
        if not in_columns:
            self._lines.setText("\n".join(spoken))
            return
        for column in range(COLUMNS):
            self._fill(column, shown[column] if column < len(shown) else None, names)

    def _fill(self, column: int, part: PartLine | None, names: Sequence[str]) -> None:
        cells = [self._cells[line][column] for line in range(6)]
        for cell in (self._heads[column], *cells):
            cell.setVisible(part is not None)
        if part is None:
            return
        name = fmt.one_line(names[column], 16)
        narrow = len(names) == COLUMNS
        self._heads[column].setText("\n".join(name.rsplit(" ", 1)) if narrow else name)
        self._heads[column].setWordWrap(narrow)
        parts.set_tip(self._heads[column], f"{part.device}: {fmt.plural(part.layers, 'layer')}")
        total = words.part_total(part)
        sizes = (part.weights_bytes, part.kv_bytes, part.compute_bytes, part.overhead_bytes)
        for cell, size in zip(cells, sizes, strict=False):
            cell.setText(fmt.byte_size(size) if size else "–")
        cells[4].setText(fmt.byte_size(total))
        cells[5].setText(fmt.byte_size(part.free_bytes))
        over = part.free_bytes is not None and total > part.free_bytes
        parts.set_tone(cells[4], "danger" if over else "")


def _cell(role: theme.Role, tone: str = "") -> QLabel:
    made = parts.label(role=role, tone=tone)
    made.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return made


def _spoken(part: PartLine, name: str) -> str:
    sizes = (
        f"model {fmt.byte_size(part.weights_bytes)}",
        f"context {fmt.byte_size(part.kv_bytes)}",
        f"working {fmt.byte_size(part.compute_bytes)}",
        f"driver {fmt.byte_size(part.overhead_bytes)}",
    )
    together = f"together {fmt.byte_size(words.part_total(part))} of {fmt.byte_size(part.free_bytes)} free"
    return f"{name}: {', '.join(sizes)}; {together}."
