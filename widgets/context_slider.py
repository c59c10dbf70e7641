"""How much text the model keeps in mind and how exactly: a slider and three segments. Must not know what that costs.

The slider's stops double; while it is dragged it says the context at most every 100 ms, and the last one always.
"""

from __future__ import annotations

from math import log2

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QBoxLayout, QSizePolicy, QSlider, QVBoxLayout, QWidget

from backends.records import KvType
from widgets import format as fmt
from widgets import parts, theme
from widgets.model_words import KV_WORDS, context

STOPS = tuple(2**power for power in range(8, 18))  # 256 to 131,072
NAMED = (256, 1024, 4096, 8192, 16384, 32768, 65536, 131072)
EVERY_MS = 100
SETTLE_MS = 1500
KNOB = 8


class StopSlider(QSlider):
    """A QSlider that paints itself. Its value is the context in tokens, since that is what a screen reader says; keys
    and mouse go from stop to stop, and a value between two stops is drawn where it lies."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setRange(STOPS[0], STOPS[-1])
        self.actionTriggered.connect(self._stepped)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Context")
        self._exact: int = STOPS[0]

    def show_exact(self, n_ctx: int) -> None:
        self._exact = n_ctx
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, 2 * KNOB + 6 + QFontMetrics(theme.font("caption")).height())

    def minimumSizeHint(self) -> QSize:
        return QSize(260, self.sizeHint().height())

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the page scrolls; a wheel over the slider must not change every verdict

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.setSliderDown(True)
            self.setSliderPosition(STOPS[self.stop_at(event.position().x())])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.isSliderDown():
            self.setSliderPosition(STOPS[self.stop_at(event.position().x())])

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.setSliderDown(False)

    def _stepped(self, action: int) -> None:
        """A key or a screen reader asked for more or less: that is the next stop."""
        actions, value = QSlider.SliderAction, self.value()
        if action in (actions.SliderSingleStepAdd.value, actions.SliderPageStepAdd.value):
            self.setSliderPosition(next((stop for stop in STOPS if stop > value), STOPS[-1]))
        elif action in (actions.SliderSingleStepSub.value, actions.SliderPageStepSub.value):
            self.setSliderPosition(next((stop for stop in reversed(STOPS) if stop < value), STOPS[0]))

    def spot(self, n_ctx: int) -> float:
        """Where a context lies, in pixels from the left."""
        share = (log2(max(n_ctx, 1)) - log2(STOPS[0])) / (log2(STOPS[-1]) - log2(STOPS[0]))
        edge = self._edge()
        return edge + min(1.0, max(0.0, share)) * (self.width() - 2 * edge)

    def stop_at(self, x: float) -> int:
        """The number of the stop that is nearest to `x`."""
        return min(range(len(STOPS)), key=lambda at: abs(self.spot(STOPS[at]) - x))

    def _edge(self) -> float:
        return QFontMetrics(theme.font("caption")).horizontalAdvance("256") / 2 + 3

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = KNOB + 2.0
        first, last, here = self.spot(STOPS[0]), self.spot(STOPS[-1]), self.spot(self._exact)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("line"))
        painter.drawRoundedRect(QRectF(first, middle - 2, last - first, 4), 2, 2)
        painter.setBrush(theme.color("accent"))
        painter.drawRoundedRect(QRectF(first, middle - 2, here - first, 4), 2, 2)
        self._paint_names(painter, middle)
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(here, middle), KNOB + 1, KNOB + 1)
        painter.setPen(QPen(theme.color("surface"), 2))
        painter.setBrush(theme.color("accent"))
        painter.drawEllipse(QPointF(here, middle), KNOB - 1, KNOB - 1)

    def _paint_names(self, painter: QPainter, middle: float) -> None:
        painter.setFont(theme.font("caption"))
        for stop in STOPS:
            x = self.spot(stop)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("outline"))
            painter.drawEllipse(QPointF(x, middle), 1.5, 1.5)
            if stop in NAMED:
                painter.setPen(theme.color("muted"))
                under = QRectF(x - 30, middle + KNOB + 1, 60, self.height() - middle - KNOB)
                painter.drawText(
                    under, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, fmt.short_count(stop)
                )


class ContextSlider(QWidget):
    """`context_changed` and `kv_type_changed` carry what the person chose; showing values makes no signal."""

    context_changed = Signal(int)
    kv_type_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._n_ctx: int = STOPS[5]
        self._told = self._n_ctx
        self._seen: int | None = None
        self._slider = StopSlider()
        self._slider.valueChanged.connect(self._moved)
        self._slider.sliderReleased.connect(self._tell)
        self._words = parts.label(role="strong")
        self._pace = QTimer(self)
        self._pace.setSingleShot(True)
        self._pace.setInterval(EVERY_MS)
        self._pace.timeout.connect(self._tell_and_pace)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._catch_up)
        options = [(kind, f"{words[0]} ({kind})", words[1]) for kind, words in KV_WORDS.items()]
        self._kv = parts.Segments("Context memory", options)
        self._kv.chosen.connect(self.kv_type_changed)
        self._lay_out()
        self._take(self._n_ctx)

    def _lay_out(self) -> None:
        name = parts.label("Text to keep in mind", "caption", "muted")
        name.setBuddy(self._slider)
        tip = "The context: prompt and answer together. A longer one takes more memory."
        parts.set_tip(name, tip)
        parts.set_tip(self._slider, tip)
        self._slider.setAccessibleDescription(tip)
        top = parts.row(name, self._words, gap=theme.TIGHT)
        top.addStretch(1)
        left = parts.column(gap=theme.HAIR)
        left.addLayout(top)
        left.addWidget(self._slider)
        kv_name = parts.label("Context memory", "caption", "muted")
        parts.set_tip(kv_name, "How exactly the model stores the text it keeps in mind (the KV type).")
        right = QVBoxLayout()
        right.setSpacing(theme.HAIR)
        right.addWidget(kv_name)
        right.addWidget(self._kv)
        self._box = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme.WIDE)
        self._box.addLayout(left, 1)
        self._box.addLayout(right)
        self._box.setAlignment(right, Qt.AlignmentFlag.AlignTop)

    def set_narrow(self, narrow: bool) -> None:
        """One above the other where there is little room."""
        way = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._box.setDirection(way)
        self._box.setSpacing(theme.TIGHT if narrow else theme.WIDE)

    def show_values(self, n_ctx: int, kv_type: KvType) -> None:
        """What verdicts are for now. An older context that arrives while the person moves the slider waits."""
        self._seen = n_ctx
        if self._kv.value() != kv_type:
            self._kv.choose(kv_type)
        if n_ctx == self._n_ctx:
            return
        if not (self._slider.isSliderDown() or self._settle.isActive()):
            self._take(n_ctx)

    def choose_context(self, n_ctx: int) -> None:
        """As if the person had moved the slider there."""
        if n_ctx != self._n_ctx:
            self._take(n_ctx)
            self._wait()
            self.context_changed.emit(n_ctx)

    def choose_kv_type(self, kv_type: KvType) -> None:
        """As if the person had pressed that segment."""
        if self._kv.value() != kv_type:
            self._kv.choose(kv_type)
            self.kv_type_changed.emit(kv_type)

    def n_ctx(self) -> int:
        return self._n_ctx

    def moving(self) -> bool:
        """The person has the knob in hand, or moved it a moment ago."""
        return self._slider.isSliderDown() or self._pace.isActive()

    def slider(self) -> StopSlider:
        return self._slider

    def _take(self, n_ctx: int) -> None:
        self._n_ctx = self._told = n_ctx
        self._say()
        self._quietly_at(n_ctx)

    def _quietly_at(self, n_ctx: int) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(n_ctx)
        self._slider.blockSignals(False)

    def _say(self) -> None:
        said = context(self._n_ctx)
        self._words.setText(said)
        self._slider.show_exact(self._n_ctx)
        self._slider.setAccessibleName(f"Context: {said}")

    def _moved(self, n_ctx: int) -> None:
        """To a stop; other values come from assistive tools that set one."""
        self._n_ctx = min(STOPS, key=lambda stop: abs(log2(stop) - log2(n_ctx)))
        self._quietly_at(self._n_ctx)
        self._say()
        self._wait()
        if not self._pace.isActive():
            self._tell_and_pace()

    def _wait(self) -> None:
        self._seen = None
        self._settle.start()

    def _catch_up(self) -> None:
        """What the last view said holds, once the person has let go."""
        if self._seen is not None and not self._slider.isSliderDown():
            self._take(self._seen)

    def _tell_and_pace(self) -> None:
        if self._n_ctx != self._told:
            self._tell()
            self._pace.start()

    def _tell(self) -> None:
        if self._n_ctx != self._told:
            self._told = self._n_ctx
            self.context_changed.emit(self._n_ctx)
