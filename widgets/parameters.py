"""Fields for the system prompt and the sampling parameters. Must not know prompts, lanes or engines."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar, get_args

from PySide6.QtCore import Signal
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QGridLayout, QLineEdit, QSpinBox, QWidget

from backends.records import Effort, Sampling
from widgets import parts, theme
from widgets.growing_edit import GrowingEdit

MAX_SEED = 2_147_483_647
COLUMNS = 9
EFFORTS = (None, *get_args(Effort))
_DEFAULT = Sampling()
Field = TypeVar("Field", bound=QAbstractSpinBox)


class Parameters(QWidget):
    """`changed` is emitted when the person changes any of it."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._stop: tuple[str, ...] = ()
        self._system = GrowingEdit("System prompt", min_lines=1, max_lines=3)
        self._system.setPlaceholderText("Optional: how the model should behave, for every lane")
        self._system.setToolTip("Sent before the prompt as the system message. Leave empty to send none.")
        self._temperature = _real(0.0, 2.0, 0.05)
        self._top_p = _real(0.0, 1.0, 0.01)
        self._min_p = _real(0.0, 1.0, 0.01)
        self._repeat = _real(0.5, 2.0, 0.05)
        self._top_k = _whole(0, 1000, "off")
        self._max_tokens = _whole(0, 1_000_000, "no limit", step=64)
        self._seed = _whole(-1, MAX_SEED, "random")
        self._effort = _plain(_EffortField())
        self._reset = parts.button("Reset", "Back to the defaults; the system prompt stays", kind="quiet")
        self._reset.clicked.connect(self._to_defaults)
        self._lay_out()
        self.set_sampling(_DEFAULT)
        self._system.textChanged.connect(self.changed)
        for field in self._fields():
            field.valueChanged.connect(self.changed)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.GAP)
        grid.setVerticalSpacing(theme.HAIR)
        caption = parts.label("System prompt", "caption", "muted")
        caption.setBuddy(self._system)
        grid.addWidget(caption, 0, 0, 1, COLUMNS)
        grid.addWidget(self._system, 1, 0, 1, COLUMNS)
        for at, (name, field, tip) in enumerate(self._rows()):
            parts.set_tip(field, tip)
            field.setAccessibleName(name)
            field.setAccessibleDescription(tip)
            caption = parts.label(name, "caption", "muted")
            parts.set_tip(caption, tip)
            caption.setBuddy(field)
            grid.addWidget(caption, 2, at)
            grid.addWidget(field, 3, at)
        grid.addWidget(self._reset, 3, COLUMNS - 1)
        for at in range(COLUMNS):
            grid.setColumnStretch(at, 1)

    def _rows(self) -> list[tuple[str, QSpinBox | QDoubleSpinBox, str]]:
        local = " Local models only; cloud servers ignore it."
        return [
            ("Temperature", self._temperature, "How freely tokens are drawn: 0 takes the likeliest, 1 draws as is."),
            ("Top-p", self._top_p, "Draw only from the likeliest tokens that together reach this share. 1 is off."),
            ("Top-k", self._top_k, "Draw only from this many likeliest tokens. 0 is off." + local),
            ("Min-p", self._min_p, "Drop tokens less likely than this share of the likeliest one. 0 is off." + local),
            ("Repeat penalty", self._repeat, "Above 1, tokens written already become less likely. 1 is off." + local),
            ("Max tokens", self._max_tokens, "The answer ends after this many tokens. 0 sets no limit."),
            ("Reasoning", self._effort, "How much a model thinks first. Only models that let you say so are told it."),
            ("Seed", self._seed, "The same seed and settings give the same text on a local model. -1 is random."),
        ]  # fmt: skip

    def _fields(self) -> list[QSpinBox | QDoubleSpinBox]:
        return [field for _, field, _ in self._rows()]

    def tab_stops(self) -> list[QWidget]:
        return [self._system, *self._fields(), self._reset]

    def system(self) -> str | None:
        """The system prompt, or None where there is none."""
        return self._system.toPlainText().strip() or None

    def set_system(self, text: str | None) -> None:
        self._system.setPlainText(text or "")

    def sampling(self) -> Sampling:
        return Sampling(
            max_tokens=self._max_tokens.value() or None,
            temperature=self._temperature.value(),
            top_k=self._top_k.value(),
            top_p=self._top_p.value(),
            min_p=self._min_p.value(),
            repeat_penalty=self._repeat.value(),
            seed=self._seed.value() if self._seed.value() >= 0 else None,
            stop=self._stop,
            reasoning_effort=EFFORTS[self._effort.value()],
        )

    def set_sampling(self, sampling: Sampling) -> None:
        self._stop = sampling.stop
        self._max_tokens.setValue(sampling.max_tokens or 0)
        self._temperature.setValue(sampling.temperature)
        self._top_k.setValue(sampling.top_k)
        self._top_p.setValue(sampling.top_p)
        self._min_p.setValue(sampling.min_p)
        self._repeat.setValue(sampling.repeat_penalty)
        self._effort.setValue(EFFORTS.index(sampling.reasoning_effort))
        self._seed.setValue(-1 if sampling.seed is None else min(sampling.seed, MAX_SEED))

    def summary(self) -> str:
        """What differs from the defaults, for the closed section; empty where nothing does."""
        now = self.sampling()
        told = []
        if self.system():
            told.append("system prompt set")
        if now.temperature != _DEFAULT.temperature:
            told.append(f"temperature {now.temperature:g}")
        if now.max_tokens != _DEFAULT.max_tokens:
            told.append("no token limit" if now.max_tokens is None else f"max {now.max_tokens:,} tokens")
        if now.reasoning_effort is not None:
            told.append(f"reasoning {now.reasoning_effort}")
        if now.seed is not None:
            told.append(f"seed {now.seed}")
        known = replace(
            _DEFAULT,
            temperature=now.temperature,
            max_tokens=now.max_tokens,
            seed=now.seed,
            stop=now.stop,
            reasoning_effort=now.reasoning_effort,
        )
        if now != known:
            told.append("other parameters changed")
        return ", ".join(told)

    def _to_defaults(self) -> None:
        self.set_sampling(replace(_DEFAULT, stop=self._stop))


class _EffortField(QSpinBox):
    """Words in place of numbers, in their order; the wheel, arrow keys and typing choose among them."""

    def __init__(self) -> None:
        super().__init__()
        self.setRange(0, len(EFFORTS) - 1)

    def textFromValue(self, value: int) -> str:
        return EFFORTS[value] or "default"

    def valueFromText(self, text: str) -> int:
        words = [word or "default" for word in EFFORTS]
        return words.index(text) if text in words else self.value()

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        words = [word or "default" for word in EFFORTS]
        if text in words:
            return QValidator.State.Acceptable, text, position
        begun = any(word.startswith(text) for word in words)
        return (QValidator.State.Intermediate if begun else QValidator.State.Invalid), text, position


def _real(low: float, high: float, step: float) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setDecimals(2)
    return _plain(field)


def _whole(low: int, high: int, at_lowest: str, step: int = 1) -> QSpinBox:
    field = QSpinBox()
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setSpecialValueText(at_lowest)
    return _plain(field)


def _plain(field: Field) -> Field:
    """Typing, arrow keys and the wheel change it; the style sheet takes the tiny arrow buttons away.

    (NoButtons would: with a style sheet it leaves the text one pixel of room in Qt 6.11.)
    """
    field.setAccelerated(True)
    inner = field.findChild(QLineEdit)
    assert inner is not None, "a spin box holds its text in a line edit"
    inner.setTextMargins(theme.TIGHT, 0, theme.TIGHT, 0)
    return field
