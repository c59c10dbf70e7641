"""The Models page at the sizes, scales and type sizes that people use; every control named and reached by Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import models_gallery as gallery
from tests.widgets.models_shown import Models, buttons, models, settle
from tests.widgets.test_accessibility import unnamed
from tests.widgets.test_layout import cut_texts, overlaps
from widgets import theme
from widgets.model_values import ModelsView

pytestmark = pytest.mark.usefixtures("dressed")
STATES = [
    "models-4090", "models-4090-least", "models-selected", "models-two-3090", "models-no-gpu", "models-h100",
    "models-h100-least", "models-nothing", "models-looking", "models-problem", "models-downloads",
    "models-downloads-least", "models-disk", "models-disk-least", "models-disk-empty", "models-local-only",
]  # fmt: skip


def in_state(qtbot: QtBot, name: str) -> Models:
    build, size = gallery.STATES[name]
    shown = models(qtbot, ModelsView(), (size.width(), size.height()))
    build(shown.page)
    settle()
    settle()
    return shown


def cut(page: QWidget) -> list[str]:
    """Names of repos, files and downloads have any length: they may end in an ellipsis; the tooltip has them whole."""
    any_length = ("LinkButton: ", "Elided: '/") if page.width() > 900 else ("LinkButton: ", "Elided: ")
    return [text for text in cut_texts(page) if not text.startswith(any_length)]


@pytest.mark.parametrize(
    ("name", "points"), [*((name, 10.0) for name in STATES), *((name, 13.0) for name in STATES[::3])]
)
def test_nothing_is_cut_or_overlaps(qapp: QApplication, qtbot: QtBot, name: str, points: float) -> None:
    font = qapp.font()
    font.setPointSizeF(points)
    qapp.setFont(font)
    theme.apply(qapp, "light")
    shown = in_state(qtbot, name)
    size = gallery.STATES[name][1]
    if points == 10.0 or size.width() >= 1024:
        assert cut(shown.page) == []
    assert overlaps(shown.page) == []
    assert shown.window.width() == size.width(), "the window can be this small"


@pytest.mark.parametrize("name", STATES)
def test_nothing_scrolls_sideways(qtbot: QtBot, name: str) -> None:
    page = in_state(qtbot, name).page
    body = page._scroll.widget()
    assert body is not None
    assert body.width() <= page._scroll.viewport().width()
    details = page._catalogue._details
    assert not details._body.isVisible() or details._body.width() <= details.width()


def test_the_first_page_fits_a_common_window(qtbot: QtBot) -> None:
    """Machine, recommendation and some of the catalogue without scrolling at 1280 x 800."""
    page = in_state(qtbot, "models-4090").page
    assert page._scroll.verticalScrollBar().maximum() == 0
    assert page._catalogue.table().viewport().height() >= 6 * page._catalogue.table().rowHeight(0)


def test_the_catalogue_shows_its_columns_without_scrolling(qtbot: QtBot) -> None:
    table = in_state(qtbot, "models-4090").page._catalogue.table()
    assert table.horizontalScrollBar().maximum() == 0


def test_narrow_windows_scroll_to_everything(qtbot: QtBot) -> None:
    page = in_state(qtbot, "models-4090-least").page
    bar = page._scroll.verticalScrollBar()
    assert bar.maximum() > 0
    details = page._catalogue._details
    assert details.y() >= page._catalogue._stack.geometry().bottom(), "the details stand below"
    assert details._scroll.verticalScrollBar().maximum() == 0, "and do not scroll inside a page that scrolls"
    bar.setValue(bar.maximum())
    settle()
    assert details.visibleRegion().boundingRect().bottom() == details.rect().bottom()


def test_the_page_follows_the_width(qtbot: QtBot) -> None:
    shown = in_state(qtbot, "models-4090")
    details, table = shown.page._catalogue._details, shown.page._catalogue.table()
    assert details.x() > table.width() - 1
    shown.window.resize(800, 560)
    settle()
    assert details.x() == 0
    shown.window.resize(1280, 800)
    settle()
    assert details.x() > table.width() - 1
    assert cut(shown.page) == []


@pytest.mark.parametrize("name", STATES[::2])
def test_every_control_has_a_name(qtbot: QtBot, name: str) -> None:
    assert unnamed(in_state(qtbot, name).page) == []


def test_buttons_of_pictures_say_what_they_do(qtbot: QtBot) -> None:
    for made in buttons(in_state(qtbot, "models-disk").page):
        assert made.text() or made.toolTip(), made.accessibleName()


@pytest.mark.parametrize("name", ["models-selected", "models-downloads", "models-disk", "models-problem"])
def test_tab_reaches_every_control_from_top_to_bottom(qtbot: QtBot, name: str) -> None:
    page = in_state(qtbot, name).page
    wanted = {
        made
        for made in page.findChildren(QWidget)
        if made.focusPolicy() & Qt.FocusPolicy.TabFocus and made.isVisible() and made.isEnabled()
        and made.focusProxy() is None and not _other_segment(made)
    }  # fmt: skip
    page.focus_main()
    reached: list[QWidget] = []
    for _ in range(120):
        focused = QApplication.focusWidget()
        assert focused is not None
        if reached and focused is reached[0]:
            break
        reached.append(focused)
        qtbot.keyClick(focused, Qt.Key.Key_Tab)
    else:
        pytest.fail("Tab never came round")
    missed = [f"{type(made).__name__} {made.accessibleName()}" for made in wanted - set(reached)]
    assert missed == []
    ours = [made for made in reached if page.isAncestorOf(made)]
    names = [made.accessibleName() for made in ours]
    first = "Copy the command" if "Copy the command" in names else "Models: Catalogue"
    start = next((at for at, said in enumerate(names) if said == first), names.index("Add models"))
    names = names[start:] + names[:start]
    order = [
        "Copy", "Models: Catalogue", "Add models", "Download: ", "Details of", "Use in Compare: Llama 3.2", "Context: ",
        "Search", "Only what fits", "Models: All", "Order: ", "Catalogue of models", "Ask llama.cpp", "Repo: ",
        "Licence: ", "Pause: ",
    ]  # fmt: skip
    places = [next((at for at, name in enumerate(names) if name.startswith(head)), None) for head in order]
    if name != "models-disk":
        known = [place for place in places if place is not None]
        assert known == sorted(known), names


def _other_segment(made: QWidget) -> bool:
    """Arrows move inside a group of segments; Tab stops at the chosen one."""
    return made.property("kind") == "segment" and not made.isChecked()  # type: ignore[attr-defined]  # a button


@pytest.mark.parametrize("scale", ["1.5", "2"])
def test_other_scales_grab_without_a_warning(scale: str, tmp_path: Path) -> None:
    """In a process of its own, since Qt reads the scale once."""
    env = {**os.environ, "QT_SCALE_FACTOR": scale}
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.widgets.models_gallery import main\n"
        "main(Path(sys.argv[1]), ['models-4090', 'models-downloads-least'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("This plugin does not support")]
    assert (done.returncode, complaints) == (0, [])
    assert len(list(tmp_path.glob("*.png"))) == 4
