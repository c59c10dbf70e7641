"""What went where, shown in the real window; local only by its key; the proxy and certificates of Settings."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.egress import Egress
from backends.egress_log import ContactLog
from backends.egress_policy import Policy
from backends.egress_route import Route
from backends.errors import NetworkNotAllowed
from backends.paths import app_paths
from tests.app.models_window import press
from tests.app.test_window import opened, press_run, type_prompt, use, wait_for
from widgets.banner import Banner
from widgets.contacts_dialog import ContactsDialog, ForgetDialog


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    _earlier_contact()
    yield from opened(qtbot, qapp)


def _earlier_contact() -> None:
    """As another run of the app left it."""
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"api.openai.com"})))
    log = ContactLog(app_paths().contacts_file, keep=lambda: True)
    egress.listener = log.heard
    entry = egress.begin("ask a model", "api.openai.com", 443)
    entry.requests, entry.bytes_sent, entry.bytes_received = 1, 2048, 4096
    entry.became("closed")
    log.close()


def _dialog(session: Session) -> ContactsDialog:
    (found,) = session.window.findChildren(ContactsDialog)
    return found


def test_what_was_sent_is_shown_from_this_run_and_earlier_ones(session: Session, qtbot: QtBot) -> None:
    with pytest.raises(NetworkNotAllowed):
        session.bench.egress.check("update of prices", "https://prices.example/")
    session.window.contacts_requested.emit()
    dialog = _dialog(session)
    wait_for(qtbot, lambda: len(dialog.shown()) == 2)
    assert [line.host for line in dialog.shown()] == ["prices.example", "api.openai.com"]
    said = dialog.text()
    assert "1 connection to api.openai.com: 2.00 KiB sent. 1 attempt was refused." in said
    assert "ask a model\tapi.openai.com\tdone\t2.00 KiB\t4.00 KiB" in said
    press(dialog, "Copy")
    assert "prices.example\trefused" in QApplication.clipboard().text()
    session.bench.egress.begin("look for servers", "127.0.0.1", 11434).became("failed")
    wait_for(qtbot, lambda: len(session.bench.contacts()) == 3)
    assert all(line.host != "127.0.0.1" for line in dialog.shown()), "this machine's own are shown on demand"
    press(dialog, "Close")
    wait_for(qtbot, lambda: not session.window.findChildren(ContactsDialog))


def test_what_was_kept_is_deleted_after_asking(session: Session, qtbot: QtBot) -> None:
    kept = app_paths().contacts_file
    session.window.contacts_requested.emit()
    dialog = _dialog(session)
    wait_for(qtbot, lambda: len(dialog.shown()) == 1)
    press(dialog, "Delete…")
    (asked,) = dialog.findChildren(ForgetDialog)
    press(asked, "Cancel")
    assert kept.exists()
    wait_for(qtbot, lambda: not dialog.findChildren(ForgetDialog))
    press(dialog, "Delete…")
    (asked,) = dialog.findChildren(ForgetDialog)
    press(asked, "Delete")
    wait_for(qtbot, lambda: not dialog.shown())
    assert not kept.exists()
    press(dialog, "Close")


def test_a_list_that_cannot_be_deleted_says_so(session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(session.bench, "forget_contacts", refuse)
    session.window.contacts_requested.emit()
    dialog = _dialog(session)
    wait_for(qtbot, lambda: len(dialog.shown()) == 1)
    dialog.forget_wanted.emit()
    wait_for(qtbot, lambda: any(banner.text() for banner in dialog.findChildren(Banner)))
    (banner,) = dialog.findChildren(Banner)
    assert "The list could not be deleted: Permission denied." in banner.text()
    press(dialog, "Close")


def test_a_run_that_local_only_refuses_is_listed(session: Session, qtbot: QtBot) -> None:
    session.window.local_only_toggled.emit(True)
    use(session, 1, "openai:gpt-4o")
    type_prompt(qtbot, session, "hello")
    press_run(qtbot, session)
    assert not session.runs.busy
    session.window.contacts_requested.emit()
    dialog = _dialog(session)
    wait_for(qtbot, lambda: len(dialog.shown()) == 2)
    assert "ask a model\tapi.openai.com\trefused\t0 bytes\t0 bytes" in dialog.text()
    assert session.bench.egress.snapshot().connections == 0
    press(dialog, "Close")


def test_local_only_has_a_key_of_its_own_and_survives_a_restart(qtbot: QtBot, qapp: QApplication) -> None:
    for session in opened(qtbot, qapp):
        session.window.activateWindow()
        assert session.bench.settings.local_only is None
        assert session.bench.egress.policy.local_only, "until the person chooses"
        session.bench.change(local_only=False)
        session.status.show_privacy()
        keys = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        QTest.keyClick(session.window, Qt.Key.Key_L, keys)
        assert session.bench.settings.local_only is True
        assert session.bench.egress.policy.local_only
    for session in opened(qtbot, qapp):
        assert session.bench.settings.local_only is True
        assert session.bench.egress.policy.local_only


def test_a_proxy_and_certificates_hold_at_once_and_survive_a_restart(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path
) -> None:
    file = str(tmp_path / "authorities.pem")
    for session in opened(qtbot, qapp):
        view = replace(session.settings.settings(), proxy_url="http://127.0.0.1:3128", ca_file=file)
        session.settings.changed.emit(view)
        assert session.bench.egress.route == Route("http://127.0.0.1:3128", file)
    for session in opened(qtbot, qapp):
        assert session.bench.egress.route == Route("http://127.0.0.1:3128", file)
        assert session.settings.settings().ca_file == file
        session.settings.changed.emit(replace(session.settings.settings(), proxy_url=None, ca_file=None))
        assert session.bench.egress.route == Route()


def test_with_history_off_no_connection_is_kept(qtbot: QtBot, qapp: QApplication) -> None:
    for session in opened(qtbot, qapp):
        session.bench.change(keep_history=False)
        session.bench.egress.begin("test", "127.0.0.1", 1).became("closed")
    assert not app_paths().contacts_file.exists()
