"""The catalogue as a Qt model with its sort and filter. Must not know how it is painted, nor who works verdicts out.

Showing new rows announces only those that changed, so that a moving slider costs little and nothing loses its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from widgets import format as fmt
from widgets import model_words as words
from widgets import parts
from widgets.model_values import ModelRow

ROW = Qt.ItemDataRole.UserRole + 1
_Index = QModelIndex | QPersistentModelIndex
_Key = str | int | float | tuple[int, float, int]
_NOWHERE = QModelIndex()


class Column(IntEnum):
    """The columns, in order."""

    MODEL, QUANT, SIZE, VERDICT, NEEDS, SPEED, QUALITY, STATE = range(8)


N_COLUMNS = len(Column)
HEADS: dict[Column, tuple[str, str]] = {
    Column.MODEL: ("Model", "The model; more parameters know more."),
    Column.QUANT: ("Quant", "How its numbers were rounded to make the file smaller."),
    Column.SIZE: ("File", "Size of the file to download."),
    Column.VERDICT: ("On this machine", "Whether it runs here, with what is free now and the context chosen above."),
    Column.NEEDS: ("Needs", "Memory it takes, context included."),
    Column.SPEED: ("tok/s", "Expected tokens per second; people read about 5 to 10. Own runs are marked ✓."),
    Column.QUALITY: ("Quality", "How close this quant is to its own full model. It does not compare models."),
    Column.STATE: ("File here", "Whether the file is on this disk."),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What is looked for; `model` empty for all."""

    text: str = ""
    fits_only: bool = False
    installed_only: bool = False
    model: str = ""

    def accepts(self, row: ModelRow) -> bool:
        """True where every word occurs in what the row is called, and the marks hold."""
        if self.fits_only and not words.fits(row):
            return False
        if self.installed_only and row.state != "installed":
            return False
        if self.model and row.model != self.model:
            return False
        said = f"{row.model} {row.quant} {row.ref} {row.repo}".casefold()
        return all(word in said for word in self.text.casefold().split())


def sort_key(row: ModelRow, column: int) -> _Key | None:
    """The true value behind a cell; None is not known and sorts last either way."""
    if column == Column.MODEL:
        return row.model.casefold()
    if column == Column.QUANT:
        return row.quant.casefold()
    if column == Column.SIZE:
        return row.file_bytes
    if column == Column.VERDICT:
        return words.verdict_key(row)
    if column == Column.QUALITY:
        return row.kld
    if column == Column.STATE:
        return ("installed", "downloading", "available", "not_runnable").index(row.state)
    if row.state == "not_runnable":
        return None
    return row.needs_bytes if column == Column.NEEDS else words.speed_key(row)


def cell_text(row: ModelRow, column: int, share: float | None) -> str:
    """What a cell shows; never empty, since screen readers read cell by cell."""
    if column == Column.MODEL:
        return row.model
    if column == Column.QUANT:
        return row.quant
    if column == Column.SIZE:
        return f"{'' if row.size_exact else '~'}{fmt.byte_size(row.file_bytes)}"
    if column == Column.VERDICT:
        return words.verdict(row)
    if column == Column.STATE:
        return words.state(row, share)
    if column == Column.QUALITY:
        return words.closeness(row.kld)
    if row.state == "not_runnable":
        return "–"
    if column == Column.NEEDS:
        return fmt.byte_size(row.needs_bytes)
    return f"{words.speed(row)}{' ✓' if row.own_runs else ''}"


class ModelTable(QAbstractTableModel):
    """One row per quant, in the order they are given."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ModelRow, ...] = ()
        self._shares: dict[str, float | None] = {}
        self._keys: dict[int, list[_Key | None]] = {}

    def show_rows(self, rows: Sequence[ModelRow], shares: Mapping[str, float | None]) -> None:
        """`shares` says by ref how much of a download has arrived."""
        before, seen = self._rows, self._shares
        fresh = tuple(rows)
        if [row.ref for row in fresh] != [row.ref for row in before]:
            self.beginResetModel()
            self._take(fresh, shares)
            self.endResetModel()
            return
        changed = [
            at
            for at, (old, new) in enumerate(zip(before, fresh, strict=True))
            if old != new or seen.get(new.ref) != shares.get(new.ref)
        ]
        if changed:
            self._take(fresh, shares)
            for first, last in _runs(changed):
                self.dataChanged.emit(self.index(first, 0), self.index(last, N_COLUMNS - 1))

    def _take(self, rows: tuple[ModelRow, ...], shares: Mapping[str, float | None]) -> None:
        self._rows, self._shares = rows, dict(shares)
        self._keys.clear()

    def row_at(self, at: int) -> ModelRow:
        return self._rows[at]

    def find(self, ref: str) -> int | None:
        """The row of a ref, or None."""
        return next((at for at, row in enumerate(self._rows) if row.ref == ref), None)

    def key(self, at: int, column: int) -> _Key | None:
        """The sort key of a cell, worked out once per change."""
        if column not in self._keys:
            self._keys[column] = [sort_key(row, column) for row in self._rows]
        return self._keys[column][at]

    def rowCount(self, parent: _Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else N_COLUMNS

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        row = self._rows[index.row()]
        if role == ROW:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(row, index.column(), self._shares.get(row.ref))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            if index.column() == Column.MODEL:
                return words.spoken(row, self._shares.get(row.ref))
            head = HEADS[Column(index.column())][0]
            return f"{head}: {cell_text(row, index.column(), self._shares.get(row.ref))}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return parts.tip(_tip(row, index.column()))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            right = index.column() in (Column.SIZE, Column.NEEDS, Column.SPEED)
            side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation != Qt.Orientation.Horizontal:
            return None
        head, tip = HEADS[Column(section)]
        if role == Qt.ItemDataRole.DisplayRole:
            return head
        if role == Qt.ItemDataRole.ToolTipRole:
            return parts.tip(tip)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            right = section in (Column.SIZE, Column.NEEDS, Column.SPEED)
            side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None


class ModelOrder(QSortFilterProxyModel):
    """Sorts by true values and filters; ties keep the catalogue's order."""

    def __init__(self, table: ModelTable) -> None:
        super().__init__(table)
        self._table = table
        self._filter = Filter()
        self.setSourceModel(table)
        self.setDynamicSortFilter(True)

    def set_filter(self, wanted: Filter) -> None:
        if wanted != self._filter:
            self.beginFilterChange()
            self._filter = wanted
            self.endFilterChange(QSortFilterProxyModel.Direction.Rows)

    def filterAcceptsRow(self, source_row: int, source_parent: _Index) -> bool:
        return self._filter.accepts(self._table.row_at(source_row))

    def lessThan(self, source_left: _Index, source_right: _Index) -> bool:
        left = self._table.key(source_left.row(), source_left.column())
        right = self._table.key(source_right.row(), source_right.column())
        if left is None or right is None:
            known, unknown = (left, right) if self.sortOrder() == Qt.SortOrder.AscendingOrder else (right, left)
            return known is not None and unknown is None
        return left < right  # type: ignore[operator]  # keys of one column are of one kind


def _tip(row: ModelRow, column: int) -> str:
    if row.state == "not_runnable":
        return row.reason
    if column == Column.VERDICT:
        return words.verdict_sentence(row)
    if column == Column.QUALITY:
        return words.quality_sentence(row)
    if column == Column.SPEED:
        basis = words.speed_basis(row)
        return words.speed_sentence(row) + (f" ({basis})" if basis else "")
    if column == Column.NEEDS:
        basis = "llama.cpp's own numbers" if row.exact else "computed"
        return f"With {row.n_ctx:,} tokens of context; {basis}"
    if column == Column.MODEL and row.reason:
        return f"{words.title(row)}\n{row.reason}"
    return words.title(row)


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring numbers as (first, last)."""
    breaks = [at for at, (one, following) in enumerate(pairwise(places), 1) if following != one + 1]
    bounds = [0, *breaks, len(places)]
    return [(places[start], places[end - 1]) for start, end in pairwise(bounds)]
