"""The catalogue on screen: a table that keeps selection and place while verdicts move. Must not know the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from PySide6.QtCore import QEvent, QModelIndex, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from widgets import theme
from widgets.catalogue_cells import PAD, CatalogueCells
from widgets.model_table import HEADS, ROW, Column, Filter, ModelOrder, ModelTable
from widgets.model_values import ModelRow

# The widest words that a column must show whole; the model's name takes what is left.
_SAMPLES: dict[Column, str] = {
    Column.MODEL: "Llama 3.3 70B Instruct",
    Column.QUANT: "Q4_K_M",
    Column.SIZE: "~48.8 GiB",
    Column.VERDICT: "126 of 127 layers on GPU",
    Column.NEEDS: "48.8 GiB",
    Column.SPEED: "42.4–48.8 ✓",
    Column.QUALITY: "Nearly same",
    Column.STATE: "Installed",
}
_ICON_ROOM = theme.ICON + theme.HAIR


class CatalogueTable(QTableView):
    """`chosen` carries the ref of a row that the person selected, `activated_ref` one they pressed Enter on.

    `typed` carries letters that belong into the search field.
    """

    chosen = Signal(str)
    activated_ref = Signal(str)
    typed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table = ModelTable(self)
        self._order = ModelOrder(self._table)
        self._chosen: str | None = None
        self._quiet = False
        self.setModel(self._order)
        self._cells = CatalogueCells(self)
        self.setItemDelegate(self._cells)
        self.setAccessibleName("Catalogue of models")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setCornerButtonEnabled(False)
        self.verticalHeader().hide()
        self._set_up_header()
        self.selectionModel().currentRowChanged.connect(self._row_changed)
        self._measure()

    def _set_up_header(self) -> None:
        header = self.horizontalHeader()
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setHighlightSections(False)
        header.setSectionsMovable(False)
        header.setAccessibleName("Columns of the catalogue")
        self.setSortingEnabled(True)

    def _measure(self) -> None:
        """Widths and heights from the font, so that larger type has room."""
        metrics = QFontMetrics(theme.font("body"))
        self.verticalHeader().setDefaultSectionSize(metrics.height() + 2 * theme.TIGHT)
        header = self.horizontalHeader()
        strong = QFontMetrics(theme.font("strong"))
        for column, sample in _SAMPLES.items():
            need = max(metrics.horizontalAdvance(sample), strong.horizontalAdvance(HEADS[column][0]) + theme.TIGHT)
            icon = _ICON_ROOM if column == Column.VERDICT else 0
            self.setColumnWidth(column, need + icon + 2 * PAD + 1)
        header.setMinimumSectionSize(metrics.horizontalAdvance("Q4_K_M"))
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self._stretch()

    def _stretch(self) -> None:
        """The names of models take what the other columns leave, and never less than a name needs."""
        metrics = QFontMetrics(theme.font("body"))
        least = metrics.horizontalAdvance(_SAMPLES[Column.MODEL]) + 2 * PAD + 1
        others = sum(self.columnWidth(column) for column in Column if column != Column.MODEL)
        self.setColumnWidth(Column.MODEL, max(least, self.viewport().width() - others))

    def show_rows(self, rows: Sequence[ModelRow], shares: Mapping[str, float | None]) -> None:
        """New verdicts for the same rows, or another catalogue; selection and place stay where they can."""
        with self._unmoved():
            self._table.show_rows(rows, shares)

    def set_filter(self, wanted: Filter) -> None:
        with self._unmoved():
            self._order.set_filter(wanted)

    def choose(self, ref: str | None) -> None:
        """Select a row and bring it into sight, without a signal."""
        self._chosen = ref
        self._quiet = True
        index = self._index_of(ref)
        if index.isValid():
            self.setCurrentIndex(index)
            self.scrollTo(index)
        else:
            self.clearSelection()
        self._quiet = False

    def bring_into_sight(self, ref: str) -> None:
        """Scroll so that a row stands in the middle; selects nothing."""
        index = self._index_of(ref)
        if index.isValid():
            self.executeDelayedItemsLayout()
            self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)

    def chosen_ref(self) -> str | None:
        return self._chosen

    def shown_refs(self) -> tuple[str, ...]:
        """The rows as they stand, from top to bottom."""
        return tuple(self._order.index(at, 0).data(ROW).ref for at in range(self._order.rowCount()))

    def sort_by(self, column: int, order: Qt.SortOrder) -> None:
        """-1 is the catalogue's own order."""
        self.horizontalHeader().setSortIndicator(column, order)

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        self._quiet = True
        self.setAutoScroll(False)  # a new current row would be scrolled to
        try:
            yield
            self._choose_again()
        finally:
            self.setAutoScroll(True)
            self._quiet = False

    def _choose_again(self) -> None:
        """The chosen row stays chosen, also after a filter hid it for a while; another never takes its place."""
        current = self.currentIndex()
        if current.isValid() and current.data(ROW).ref == self._chosen and self.selectionModel().hasSelection():
            return
        index = self._index_of(self._chosen)
        if index.isValid():
            self.setCurrentIndex(index)
        elif current.isValid():
            self.setCurrentIndex(QModelIndex())
            self.clearSelection()

    def _index_of(self, ref: str | None) -> QModelIndex:
        at = self._table.find(ref) if ref is not None else None
        return QModelIndex() if at is None else self._order.mapFromSource(self._table.index(at, 0))

    def _row_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if self._quiet or not current.isValid():
            return
        self._chosen = current.data(ROW).ref
        self.chosen.emit(self._chosen)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        current = self.currentIndex()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if current.isValid():
                self.activated_ref.emit(current.data(ROW).ref)
            return
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier)
        if plain and event.text().isprintable() and event.text().strip():
            self.typed.emit(event.text())
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._stretch()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._cells.forget()
        if event.type() == QEvent.Type.FontChange:
            self._cells.forget()
            self._measure()
