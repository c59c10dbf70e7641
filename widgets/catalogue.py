"""The catalogue section: recommendation, context, table and details, kept in step. Must not know engines."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QBoxLayout, QFrame, QStackedWidget, QVBoxLayout, QWidget

from backends.records import KvType
from widgets import file_words, parts, theme
from widgets import format as fmt
from widgets import model_words as words
from widgets.catalogue_table import CatalogueTable
from widgets.context_slider import ContextSlider
from widgets.model_details import ModelDetails
from widgets.model_filters import ModelFilters
from widgets.model_table import Filter
from widgets.model_values import LeverLine, ModelRow, ModelsView
from widgets.recommendation_card import RecommendationCard

DETAILS_WIDTH = 312
TABLE_HEIGHT = 236
LATER_MS = 25


class Catalogue(QWidget):
    """`selected` comes when the person chose a row; showing views makes no signal."""

    context_changed = Signal(int)
    kv_type_changed = Signal(str)
    selected = Signal(str)
    download_requested = Signal(str)
    use_requested = Signal(str)
    exact_requested = Signal(str)
    stop_exact_requested = Signal(str)
    link_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._view = ModelsView()
        self._by_ref: dict[str, ModelRow] = {}
        self._opened = False
        self._advice = RecommendationCard()
        self._context = ContextSlider()
        self._filters = ModelFilters()
        self._table = CatalogueTable()
        self._details = ModelDetails()
        self._count = parts.label(role="caption", tone="muted")
        self._stack = QStackedWidget()
        self._waiting: list[Callable[[], None]] = []
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(LATER_MS)
        self._later.timeout.connect(self._next_part)
        self._connect()
        self._lay_out()

    def _connect(self) -> None:
        self._context.context_changed.connect(self.context_changed)
        self._context.kv_type_changed.connect(self.kv_type_changed)
        for source in (self._advice, self._details):
            source.download_requested.connect(self.download_requested)
            source.use_requested.connect(self.use_requested)
            source.lever_chosen.connect(self._pull)
        self._advice.details_wanted.connect(self._choose)
        self._details.exact_requested.connect(self.exact_requested)
        self._details.stop_exact_requested.connect(self.stop_exact_requested)
        self._details.link_requested.connect(self.link_requested)
        self._filters.changed.connect(self._filter)
        self._filters.sorted_by.connect(self._sort)
        self._table.chosen.connect(self._chosen)
        self._table.activated_ref.connect(lambda _ref: self._details.focus_action())
        self._table.typed.connect(self._filters.type)
        self._table.horizontalHeader().sortIndicatorChanged.connect(
            lambda column, order: self._filters.show_order(column, order == Qt.SortOrder.DescendingOrder)
        )

    def _lay_out(self) -> None:
        self._stack.addWidget(self._table)
        self._stack.addWidget(self._nothing())
        self._stack.setMinimumHeight(TABLE_HEIGHT)
        left = QVBoxLayout()
        left.setSpacing(theme.TIGHT)
        left.addWidget(self._filters)
        left.addWidget(self._stack, 1)
        left.addWidget(self._count)
        self._lower = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._lower.setSpacing(theme.GAP)
        self._lower.addLayout(left, 1)
        self._lower.addWidget(self._details)
        shelf = parts.card()
        inside = QVBoxLayout(shelf)
        inside.setContentsMargins(theme.ROOM, theme.TIGHT, theme.ROOM, theme.TIGHT)
        inside.addWidget(self._context)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self._advice)
        layout.addWidget(shelf)
        layout.addLayout(self._lower, 1)

    def _nothing(self) -> QFrame:
        made = parts.card()
        layout = QVBoxLayout(made)
        layout.setSpacing(theme.TIGHT)
        layout.addStretch(1)
        self._none = parts.label("", "heading")
        clear = parts.button("Show all models", "Clear the search and the filters")
        clear.clicked.connect(self._filters.clear)
        for part in (self._none, clear):
            layout.addWidget(part, 0, Qt.AlignmentFlag.AlignHCenter)
        self._clear = clear
        layout.addStretch(1)
        return made

    def set_narrow(self, narrow: bool) -> None:
        """Details below the table where there is no room beside it."""
        self._lower.setDirection(QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight)
        self._details.setMinimumWidth(0 if narrow else DETAILS_WIDTH)
        self._details.setMaximumWidth(16_777_215 if narrow else DETAILS_WIDTH)
        self._details.set_whole(narrow)
        self._context.set_narrow(narrow)
        self._advice.set_narrow(narrow)

    def show_view(self, view: ModelsView, besides: Callable[[], None] = lambda: None) -> None:
        """`besides` shows what belongs to the same view elsewhere on the page."""
        self._view = view
        self._by_ref = {row.ref: row for row in view.rows}
        self._context.show_values(view.n_ctx, view.kv_type)
        self._filters.set_models(list(dict.fromkeys(row.model for row in view.rows)))
        self._table.show_rows(view.rows, {line.ref: file_words.share(line) for line in view.downloads})
        self._say_count()
        self._waiting = [besides, self._show_advice, self._show_details]
        if self._context.moving():
            self._later.start()
        else:
            while self._waiting:
                self._next_part()
        self._open_at_recommended()

    def _show_advice(self) -> None:
        self._advice.show_view(self._view)

    def _next_part(self) -> None:
        """While the slider moves the parts of a view come one after the other, so that none of them is felt."""
        if self._waiting:
            self._waiting.pop(0)()
        if self._waiting:
            self._later.start()
        else:
            self._later.stop()

    def selected_ref(self) -> str | None:
        """The row that the person selected, while it is in the catalogue."""
        ref = self._table.chosen_ref()
        return ref if ref in self._by_ref else None

    def shown_ref(self) -> str | None:
        """The row whose details are shown: the selected one, else the recommended one."""
        row = self._details.row()
        return row.ref if row is not None else None

    def select(self, ref: str) -> None:
        """Without a signal; a filter that hides the row is cleared."""
        self._table.choose(ref)
        if ref in self._by_ref and ref not in self._table.shown_refs():
            self._filters.clear()
            self._table.choose(ref)
        self._show_details()

    def focus_main(self) -> None:
        button = self._advice.main_button()
        if button.isVisible() and button.action() != "busy":
            button.setFocus(Qt.FocusReason.ShortcutFocusReason)
        else:
            self.focus_search()

    def focus_search(self) -> None:
        self._filters.focus_search()

    def table(self) -> CatalogueTable:
        return self._table

    def _show_details(self) -> None:
        ref = self.selected_ref()
        row = self._by_ref.get(ref) if ref is not None else None
        if row is None:
            row = self._default_row()
        self._details.show_row(row, self._view)

    def _default_row(self) -> ModelRow | None:
        """The recommended one, or what comes closest to one."""
        first = next((each for each in self._view.rows if each.rank == 1), None) or words.fastest(self._view)
        close = words.closest(self._view)
        return first or (close[0] if close is not None else None)

    def _open_at_recommended(self) -> None:
        """Once, as soon as one is known: the catalogue is long, and this is the row to begin at."""
        row = self._details.row()
        if not self._opened and row is not None and row.rank == 1:
            self._opened = True
            if self.selected_ref() is None:
                self._table.bring_into_sight(row.ref)

    def _say_count(self) -> None:
        shown = self._table.model().rowCount()
        total = len(self._view.rows)
        self._stack.setCurrentIndex(0 if shown else 1)
        self._none.setText("No model matches" if total else "The catalogue is being read…")
        self._clear.setVisible(bool(total))
        said = f"{shown:,} of {fmt.plural(total, 'quant')}" if shown != total else fmt.plural(total, "quant")
        self._count.setVisible(bool(total))
        self._count.setText(f"{said}. Speed is an estimate, but ✓ marks your own runs. ~ marks a computed file size.")

    def _chosen(self, ref: str) -> None:
        self._show_details()
        self.selected.emit(ref)

    def _choose(self, ref: str) -> None:
        """Something on the page led to this row."""
        self.select(ref)
        self._table.setFocus()
        self.selected.emit(ref)

    def _filter(self, wanted: Filter) -> None:
        self._table.set_filter(wanted)
        self._say_count()

    def _sort(self, column: int, downwards: bool) -> None:
        self._table.sort_by(column, Qt.SortOrder.DescendingOrder if downwards else Qt.SortOrder.AscendingOrder)

    def _pull(self, lever: LeverLine) -> None:
        """A lever sets the slider, a segment, or selects the smaller quant."""
        if lever.kind == "context" and lever.value.isdecimal():
            self._context.choose_context(int(lever.value))
        elif lever.kind == "kv_type" and lever.value in words.KV_WORDS:
            kinds: dict[str, KvType] = {kind: kind for kind in words.KV_WORDS}
            self._context.choose_kv_type(kinds[lever.value])
        elif lever.kind == "quant" and lever.ref is not None:
            self._choose(lever.ref)
