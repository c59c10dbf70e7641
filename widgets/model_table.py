"""The catalogue as a Qt model with its sort and filter. Must not know how it is painted, nor who works verdicts out.

Showing new rows announces only the cells that changed, so that a moving slider costs little and nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from operator import attrgetter

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
CELL = Qt.ItemDataRole.UserRole + 2
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
        if self == _ALL:
            return True
        if self.fits_only and not words.fits(row):
            return False
        if self.installed_only and row.state != "installed":
            return False
        if self.model and row.model != self.model:
            return False
        said = f"{row.model} {row.quant} {row.ref} {row.repo}".casefold()
        return all(word in said for word in self.text.casefold().split())


_ALL = Filter()


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


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it is painted: `ink` is a palette field, `mark` an icon with its tone."""

    text: str
    mark: tuple[str, str] | None
    ink: str
    strong: bool


_RANK_ICON = {1: "star", 2: "lightning", 3: "medal"}
_SHOWN: tuple[Callable[[ModelRow], object], ...] = (
    attrgetter("model", "rank"),
    attrgetter("quant"),
    attrgetter("size_exact", "file_bytes"),
    words.verdict,
    attrgetter("needs_bytes"),
    attrgetter("tok_s_low", "tok_s_high", "own_runs"),
    attrgetter("kld"),
    attrgetter("state"),
)


def changed_columns(old: ModelRow, new: ModelRow) -> list[int]:
    """The columns whose cells are painted another way now."""
    if old is new:
        return []
    if words.fits(old) != words.fits(new) or (old.state == "not_runnable") != (new.state == "not_runnable"):
        return list(range(N_COLUMNS))  # the ink of them all
    return [column for column, shown in enumerate(_SHOWN) if shown(old) != shown(new)]


def painted(row: ModelRow, column: int, share: float | None) -> Cell:
    """What the delegate needs of a cell."""
    mark = None
    if column == Column.VERDICT:
        mark = words.verdict_mark(row)
    elif column == Column.MODEL and row.rank is not None:
        mark = _RANK_ICON[row.rank], "accent"
    quiet = column == Column.STATE and row.state in ("available", "not_runnable")
    ink = "muted" if quiet or not words.fits(row) else "text"
    text = "–" if quiet else cell_text(row, column, share)
    return Cell(text, mark, ink, column == Column.MODEL and row.rank == 1)


class ModelTable(QAbstractTableModel):
    """One row per quant, in the order they are given."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ModelRow, ...] = ()
        self._shares: dict[str, float | None] = {}
        self._keys: dict[int, list[_Key | None]] = {}
        self._cells: dict[tuple[int, int], Cell] = {}

    def show_rows(self, rows: Sequence[ModelRow], shares: Mapping[str, float | None]) -> None:
        """`shares` says by ref how much of a download has arrived."""
        before, seen = self._rows, self._shares
        fresh = tuple(rows)
        if [row.ref for row in fresh] != [row.ref for row in before]:
            self.beginResetModel()
            self._take(fresh, shares)
            self.endResetModel()
            return
        changed: dict[int, list[int]] = {}
        for at, (old, new) in enumerate(zip(before, fresh, strict=True)):
            columns = changed_columns(old, new)
            if seen.get(new.ref) != shares.get(new.ref) and Column.STATE not in columns:
                columns.append(Column.STATE)
            for column in columns:
                changed.setdefault(column, []).append(at)
        self._take(fresh, shares, changed)
        for column, places in changed.items():
            for first, last in _runs(places):
                self.dataChanged.emit(self.index(first, column), self.index(last, column))

    def _take(
        self,
        rows: tuple[ModelRow, ...],
        shares: Mapping[str, float | None],
        changed: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        """`changed` says by column which rows are painted another way; None for all."""
        self._rows, self._shares = rows, dict(shares)
        if changed is None:
            self._keys.clear()
            self._cells.clear()
            return
        for column, places in changed.items():
            self._keys.pop(column, None)
            for at in places:
                self._cells.pop((at, column), None)

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

    def cell(self, at: int, column: int) -> Cell:
        """A cell as it is painted, made once per change."""
        found = self._cells.get((at, column))
        if found is None:
            row = self._rows[at]
            found = self._cells[(at, column)] = painted(row, column, self._shares.get(row.ref))
        return found

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == CELL:
            return self.cell(index.row(), index.column())
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
