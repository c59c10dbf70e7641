"""The person's own servers on the Settings page."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from backends.errors import BadAddress
from tests.widgets import samples
from tests.widgets.conftest import Show
from widgets import parts
from widgets.banner import Banner
from widgets.settings_servers import ServerSettings
from widgets.values import SettingsView


def opened(show: Show) -> ServerSettings:
    shown = show("local:demo")
    shown.window.open_page("settings")
    shown.settings.show_settings(SettingsView(servers=samples.SERVERS))
    QApplication.processEvents()  # laid out
    return shown.settings.servers


def field(page: QWidget, name: str) -> QLineEdit:
    return next(each for each in page.findChildren(QLineEdit) if each.accessibleName() == name)


def button(page: QWidget, name: str) -> QAbstractButton:
    every = page.findChildren(QAbstractButton)
    return next(each for each in every if each.accessibleName() == name)


def test_each_server_says_where_it_is_and_what_is_known_of_it(show: Show) -> None:
    page = opened(show)
    said = [label.text() for label in page.findChildren(QLabel)]
    for words in (
        "lab",
        "https://lab.example.org/v1 · leaves this machine: lab.example.org · 12 models on 24 November 2026",
        "http://127.0.0.1:9000/v1 · on this machine · models not listed yet",
        "http://0.0.0.0:1/v1 · 0.0.0.0 is where servers listen, not where they are reached.",
    ):
        assert words in said
    assert not button(page, "List the models of wrong").isEnabled()


def test_what_is_wanted_is_said_by_name(show: Show, qtbot: QtBot) -> None:
    page = opened(show)
    listed: list[str] = []
    removed: list[str] = []
    page.list_wanted.connect(listed.append)
    page.removed.connect(removed.append)
    qtbot.mouseClick(button(page, "List the models of box"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button(page, "Remove lab"), Qt.MouseButton.LeftButton)
    assert (listed, removed) == (["box"], ["lab"])


def test_a_server_is_added_by_keyboard_and_a_wrong_one_stays_typed(show: Show, qtbot: QtBot) -> None:
    page = opened(show)
    added: list[tuple[str, str]] = []
    page.add_wanted.connect(lambda name, address: added.append((name, address)))
    name, address = field(page, "Name of the server"), field(page, "Address of the server")
    assert not button(page, "Add server").isEnabled()
    qtbot.keyClicks(name, "box2")
    qtbot.keyClick(name, Qt.Key.Key_Return)
    assert added == []  # there is no address yet
    qtbot.keyClicks(address, "foo")
    qtbot.keyClick(address, Qt.Key.Key_Return)
    assert added == [("box2", "foo")]
    page.refuse(BadAddress("“foo” does not begin with http:// or https://.").problem)
    assert "does not begin with http://" in page.trouble_text()
    assert (name.text(), address.text()) == ("box2", "foo")
    qtbot.keyClicks(address, "d")
    assert page.trouble_text() == ""
    page.accept()
    assert (name.text(), address.text()) == ("", "")


def in_sight(widget: QWidget) -> bool:
    """Wholly, in the window."""
    QApplication.processEvents()
    return widget.visibleRegion().boundingRect() == widget.rect()


def test_listing_the_models_of_a_server_moves_neither_the_keyboard_nor_the_page(show: Show) -> None:
    page = opened(show)
    lists = button(page, "List the models of box")
    lists.setFocus()
    parts.bring_into_sight(lists)
    assert in_sight(lists)
    before = lists.mapTo(page.window(), QPoint())
    known = replace(samples.SERVERS[1], listed="3 models on 25 November 2026")
    page.show_lines((samples.SERVERS[0], known, *samples.SERVERS[2:]))
    assert page.window().focusWidget() is lists
    assert in_sight(lists)
    assert lists.mapTo(page.window(), QPoint()) == before
    assert any("3 models on 25 November 2026" in label.text() for label in page.findChildren(QLabel))


def test_what_is_wrong_and_the_fields_are_in_sight_together(show: Show, qtbot: QtBot) -> None:
    page = opened(show)
    name, address, add = field(page, "Name of the server"), field(page, "Address of the server"), "Add server"
    address.setFocus()
    parts.bring_into_sight(address)
    assert in_sight(address)
    qtbot.keyClicks(name, "box2")
    qtbot.keyClicks(address, "foo")
    page.refuse(BadAddress("“foo” does not begin with http:// or https://.").problem)
    QApplication.processEvents()
    assert all(in_sight(each) for each in (name, address, button(page, add)))
    assert in_sight(page.findChildren(Banner)[0])


def test_a_server_that_was_added_leaves_the_form_in_sight(show: Show, qtbot: QtBot) -> None:
    page = opened(show)
    name, address = field(page, "Name of the server"), field(page, "Address of the server")
    qtbot.keyClicks(name, "box2")
    qtbot.keyClicks(address, "http://127.0.0.1:9/v1")
    add = button(page, "Add server")
    parts.bring_into_sight(add)
    add.setFocus()
    page.show_lines((*samples.SERVERS, replace(samples.SERVERS[1], name="box2")))
    page.accept()
    QApplication.processEvents()
    assert page.window().focusWidget() is name
    assert in_sight(name)
    assert in_sight(add)


def test_the_keyboard_stays_in_the_list_when_a_server_goes(show: Show) -> None:
    page = opened(show)
    button(page, "Remove lab").setFocus()
    page.show_lines(samples.SERVERS[1:])
    focused = page.window().focusWidget()
    assert focused is not None
    assert focused.accessibleName() == "List the models of box"
    page.show_lines(())
    assert page.names() == []
