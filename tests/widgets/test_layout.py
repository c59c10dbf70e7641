"""No text is cut and nothing overlaps at the sizes that people use, at 100 % and with larger type."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QScrollArea, QToolButton, QWidget

from tests.widgets import assistant_gallery, gallery, samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import LOCAL, Shown
from widgets import theme
from widgets.parts import Elided
from widgets.target_picker import TargetPicker


def cut_texts(root: QWidget) -> list[str]:
    """Labels and buttons in sight whose text does not fit into them."""
    found = []
    for made in root.findChildren(QWidget):
        if not made.isVisible() or not isinstance(made, QLabel | QPushButton | QToolButton):
            continue
        text = made.text()
        larger = QApplication.font().pointSizeF() > theme.MIN_BODY_PT
        if isinstance(made, Elided) and larger and made.toolTip():
            continue
        if not text or isinstance(made, TargetPicker):  # names of models have any length; the tooltip has it whole
            continue
        if isinstance(made, QLabel) and made.wordWrap():
            fits = made.heightForWidth(made.width()) <= made.height() + 1
        elif isinstance(made, QToolButton):
            fits = made.fontMetrics().horizontalAdvance(text) <= made.width()
        else:
            fits = made.fontMetrics().horizontalAdvance(text) <= made.contentsRect().width() + 1
        if not fits:
            found.append(f"{type(made).__name__}: {text!r} in {made.width()} x {made.height()}")
    return found


def overlaps(parent: QWidget) -> list[str]:
    """Neighbours inside one widget that lie over each other."""
    found = []
    for owner in [parent, *parent.findChildren(QWidget)]:
        layout = owner.layout()
        if layout is None or not owner.isVisible():
            continue
        rects = [(w, w.geometry()) for w in _laid_out(owner) if w.isVisible()]
        for at, (one, rect) in enumerate(rects):
            for other, second in rects[at + 1 :]:
                if rect.adjusted(1, 1, -1, -1).intersects(second):
                    found.append(f"{type(one).__name__} over {type(other).__name__} in {type(owner).__name__}")
    return found


def _laid_out(owner: QWidget) -> list[QWidget]:
    children = [child for child in owner.children() if isinstance(child, QWidget) and not child.isWindow()]
    layout = owner.layout()
    return [child for child in children if layout is not None and layout.indexOf(child) >= 0]


STATES: list[tuple[str, Callable[[Shown], None], tuple[int, int]]] = [
    ("empty-1024", gallery.empty, (1024, 700)),
    ("finished-1024", gallery.finished, (1024, 700)),
    ("parameters-1024", gallery.parameters, (1024, 700)),
    ("failed-1280", gallery.failed, (1280, 800)),
    ("failed-1024", gallery.failed, (1024, 700)),
    ("four-1600", gallery.four, (1600, 1000)),
    ("four-1024", gallery.four, (1024, 700)),
    ("history-1024", gallery.history, (1024, 700)),
    ("history-empty-1024", gallery.history_empty, (1024, 700)),
    ("settings-1024", gallery.settings, (1024, 700)),
    ("settings-800", gallery.settings, (800, 560)),
    ("settings-models-1280", assistant_gallery.settings, (1280, 1250)),
    ("settings-models-800", assistant_gallery.settings_problem, (800, 560)),
    ("loading-1280", assistant_gallery.loading, (1280, 800)),
    ("rail-1024", assistant_gallery.rail, (1024, 700)),
]


@pytest.mark.parametrize(("build", "size"), [s[1:] for s in STATES], ids=[s[0] for s in STATES])
@pytest.mark.parametrize("points", [10.0, 13.0])
def test_nothing_is_cut_or_overlaps(
    show: Show, qapp: QApplication, build: Callable[[Shown], None], size: tuple[int, int], points: float
) -> None:
    font = qapp.font()
    font.setPointSizeF(points)
    qapp.setFont(font)
    theme.apply(qapp, "light")
    shown = show(size=size)
    build(shown)
    shown.settle()
    for _ in range(3):
        QApplication.processEvents()
    if points == 10.0 or size[0] >= 1024:
        assert cut_texts(shown.window) == []
    assert overlaps(shown.window) == []
    assert shown.window.width() == size[0], "the window can be this small"


def test_the_check_sees_a_cut_text(show: Show) -> None:
    shown = show("local:demo")
    run = shown.compare.prompt_box.run_button()
    run.setFixedWidth(20)
    QApplication.processEvents()
    assert len(cut_texts(shown.window)) == 1


def test_a_failed_lane_does_not_make_the_lanes_scroll(show: Show) -> None:
    shown = show(size=(1280, 800))
    gallery.failed(shown)
    shown.settle()
    for _ in range(3):
        QApplication.processEvents()
    scroll = next(s for s in shown.compare.findChildren(QScrollArea))
    assert not scroll.verticalScrollBar().isVisible()
    assert not scroll.horizontalScrollBar().isVisible()


def test_lanes_stay_level(show: Show) -> None:
    """Figures of different lanes stand side by side whatever each lane has to say."""
    shown = show(size=(1600, 1000))
    gallery.four(shown)
    shown.settle()
    QApplication.processEvents()
    lanes = [shown.compare.lane(lane_id) for lane_id in shown.compare.lane_ids]
    assert len({lane.strip.y() for lane in lanes}) == 1
    assert len({lane.head.height() for lane in lanes}) == 1
    assert len({lane.width() for lane in lanes}) <= 2, "equal but for a rounding pixel"


def test_a_long_message_shortens_the_answer_not_the_figures(show: Show) -> None:
    shown = show(LOCAL, "practice", size=(1280, 800))
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    QApplication.processEvents()
    before = lane.strip.geometry()
    lane.banner.show_problem(samples.CUT)
    for _ in range(3):
        QApplication.processEvents()
    assert lane.strip.geometry() == before
    assert QRect(lane.rect()).contains(lane.foot.geometry())


@pytest.mark.parametrize("scale", ["1.5", "2"])
def test_other_scales_grab_without_a_warning(scale: str, tmp_path: object) -> None:
    """In a process of its own, since Qt reads the scale once."""
    env = {**os.environ, "QT_SCALE_FACTOR": scale}
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.widgets.gallery import main\n"
        "main(Path(sys.argv[1]), ['finished'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("This plugin does not support")]
    assert (done.returncode, said) == (0, [])
