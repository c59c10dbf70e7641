"""Keys at the real window: kept and found again, refused, slow, offered from a variable, tried and deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import keyring
import keyring.backends.fail
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.paths import app_paths
from backends.settings import SettingsFile
from tests.app.held_keyring import Held
from tests.app.test_window import compare, opened, phases, press_run, texts, type_prompt, use, wait_for
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, error
from tests.widgets.test_key_dialog import spoken
from widgets.check_line import CheckLine
from widgets.key_dialog import DeleteKeyDialog, KeyDialog
from widgets.settings_keys import KeySettings

KEY = "sk-CANARY0123456789"
Act = Callable[[KeyDialog], None]


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    keyring.set_keyring(made)
    yield made
    made.open.set()
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication, held: Held) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


@pytest.fixture
def dialogs(monkeypatch: pytest.MonkeyPatch) -> list[Act]:
    """What is done in each key dialog that opens, in order; one that nobody expected fails the test."""
    acts: list[Act] = []

    def run(dialog: KeyDialog) -> int:
        dialog.open()
        acts.pop(0)(dialog)
        dialog.close()
        return 0

    monkeypatch.setattr(KeyDialog, "exec", run)
    return acts


def press(widget: QWidget, name: str) -> None:
    made = next(b for b in widget.findChildren(QPushButton) if name in (b.text(), b.accessibleName()))
    QTest.mouseClick(made, Qt.MouseButton.LeftButton)


def type_key(key: str, *, then: str = "Use this key", keep: bool = True) -> Act:
    def act(dialog: KeyDialog) -> None:
        fields = dialog.findChildren(QLineEdit)
        QTest.keyClicks(fields[0], key)
        assert "CANARY" not in spoken(dialog)
        dialog.findChildren(CheckLine)[0].setChecked(keep)
        press(dialog, then)

    return act


def authorization(server: OpenAIServer) -> list[str]:
    return [each.headers.get("authorization", "") for each in server.received]


def section(session: Session) -> KeySettings:
    session.window.open_page("settings")
    return session.settings.keys


def place(session: Session, name: str = "openai") -> str:
    return session.settings.keys.row(name).line.place


def wait_for_place(qtbot: QtBot, session: Session, wanted: str) -> None:
    wait_for(qtbot, lambda: place(session) == wanted)


def wait_for_words(qtbot: QtBot, keys: KeySettings, wanted: str) -> None:
    wait_for(qtbot, lambda: wanted in keys.words())


def wait_for_rest(qtbot: QtBot, session: Session) -> None:
    wait_for(qtbot, lambda: not session.runs.busy)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with OpenAIServer(answer("Hello")) as made:
        monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", made.base_url)
        yield made


def test_a_key_is_kept_and_found_at_the_next_start(
    qtbot: QtBot, qapp: QApplication, held: Held, dialogs: list[Act], server: OpenAIServer
) -> None:
    dialogs.append(type_key(KEY))
    for session in opened(qtbot, qapp):
        use(session, 1, "openai:gpt-4o")
        session.compare.target_chosen.emit(session.compare.lane_ids[1], "openai:gpt-4o")
        wait_for_place(qtbot, session, "keyring")
        assert held.entries == {"Nearfar/openai": KEY}
        compare(qtbot, session)
        assert "CANARY" not in spoken(session.window)
    for session in opened(qtbot, qapp):
        compare(qtbot, session)
        assert phases(session) == ["done", "done"]
        assert place(session) == "keyring"
    assert authorization(server) == [f"Bearer {KEY}"] * 2
    assert KEY.encode() not in app_paths().settings_file.read_bytes()


def test_a_key_for_this_session_is_in_no_keyring(
    qtbot: QtBot, session: Session, held: Held, dialogs: list[Act], server: OpenAIServer
) -> None:
    dialogs.append(type_key(KEY, keep=False))
    session.compare.target_chosen.emit(session.compare.lane_ids[1], "openai:gpt-4o")
    use(session, 1, "openai:gpt-4o")
    compare(qtbot, session)
    assert phases(session)[1] == "done"
    assert place(session) == "session"
    assert held.entries == {}


def test_a_refused_key_stays_until_it_is_replaced(
    qtbot: QtBot, qapp: QApplication, held: Held, dialogs: list[Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    held.entries = {"Nearfar/openai": "sk-old"}
    with OpenAIServer(error(401), answer("Hello")) as server:
        monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", server.base_url)
        for session in opened(qtbot, qapp):
            session.bench.change(kept_keys=("openai",))
            use(session, 1, "openai:gpt-4o")
            compare(qtbot, session)
            assert phases(session)[1] == "failed"
            assert held.entries == {"Nearfar/openai": "sk-old"}
            assert "did not accept" in section(session).row("openai").line.says
            dialogs.append(type_key(KEY))
            session.compare.lane_retry_requested.emit(session.compare.lane_ids[1])
            wait_for_rest(qtbot, session)
            assert phases(session)[1] == "done"
            wait_for(qtbot, lambda: held.entries == {"Nearfar/openai": KEY})
        assert authorization(server) == ["Bearer sk-old", f"Bearer {KEY}"]


def test_the_window_lives_while_a_keyring_does_not_answer(
    qtbot: QtBot, session: Session, held: Held, dialogs: list[Act], server: OpenAIServer
) -> None:
    """What is done below is done while the keyring holds its caller; nothing of it waits."""
    held.open.clear()
    dialogs.append(type_key(KEY))
    session.compare.target_chosen.emit(session.compare.lane_ids[1], "openai:gpt-4o")
    use(session, 1, "openai:gpt-4o")
    wait_for(qtbot, held.asked.is_set)
    type_prompt(qtbot, session, "Hello?")
    press_run(qtbot, session)
    wait_for(qtbot, lambda: texts(session)[1] == "Hello" and not session.runs.busy)
    session.window.open_page("history")
    wait_for(qtbot, lambda: len(session.history.shown_ids()) == 1)
    assert not held.open.is_set()
    assert authorization(server) == [f"Bearer {KEY}"]
    assert place(session) == "session"
    wait_for(qtbot, lambda: "did not answer in 3 seconds" in session.compare.problem_text())
    assert "kept in memory for this session only" in session.compare.problem_text()
    held.open.set()
    wait_for(qtbot, lambda: held.entries == {})
    wait_for(qtbot, lambda: session.bench.settings.kept_keys == ())


def test_a_machine_without_keyring_says_so_once_and_works(
    qtbot: QtBot, qapp: QApplication, dialogs: list[Act], server: OpenAIServer
) -> None:
    def act(dialog: KeyDialog) -> None:
        wait_for(qtbot, lambda: not dialog.findChildren(CheckLine)[0].isEnabled())
        assert "This machine has no keyring." in spoken(dialog)
        assert not dialog.keeps_in_keyring()
        QTest.keyClicks(dialog.findChildren(QLineEdit)[0], KEY)
        press(dialog, "Use this key")

    dialogs.append(act)
    for session in opened(qtbot, qapp):
        session.compare.target_chosen.emit(session.compare.lane_ids[1], "openai:gpt-4o")
        use(session, 1, "openai:gpt-4o")
        compare(qtbot, session)
        assert phases(session)[1] == "done"
        assert session.compare.problem_text() == "", "the dialog had said it"
        wait_for_words(qtbot, section(session), "asked for again at the next start")


def test_a_key_that_has_gone_from_the_keyring_is_said_and_asked_for(
    qtbot: QtBot, session: Session, held: Held, dialogs: list[Act], server: OpenAIServer
) -> None:
    type_prompt(qtbot, session, "This warms up what stands in the lanes, before the cloud lane is chosen.")
    session.bench.change(kept_keys=("openai",))
    use(session, 1, "openai:gpt-4o")
    compare(qtbot, session)
    assert (phases(session)[1], server.received) == ("failed", [])
    assert section(session).row("openai").line.says == "No key. The keyring no longer gives the key back."
    dialogs.append(type_key(KEY))
    session.window.open_page("compare")
    compare(qtbot, session)
    assert phases(session)[1] == "done"


def test_a_variable_is_offered_once_and_never_taken_silently(
    qtbot: QtBot,
    session: Session,
    held: Held,
    dialogs: list[Act],
    server: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    offers: list[bool] = []

    def look(dialog: KeyDialog) -> None:
        offers.append("Use the key in OPENAI_API_KEY" in spoken(dialog))
        assert "CANARY" not in spoken(dialog)

    dialogs += [look, look]
    for _ in range(2):
        press(section(session).row("openai"), "Enter the key for OpenAI")
    assert offers == [True, False]
    assert place(session) == "none"
    assert session.bench.settings.offered_variables == ("OPENAI_API_KEY",)
    session.bench.change(offered_variables=())
    dialogs.append(lambda dialog: press(dialog, "Use the key in OPENAI_API_KEY"))
    press(section(session).row("openai"), "Enter the key for OpenAI")
    wait_for(qtbot, lambda: held.entries == {"Nearfar/openai": KEY})
    assert session.bench.settings.local_only is None


async def _never(exchange: Exchange) -> None:
    await exchange.until_gone()


async def _models(exchange: Exchange) -> None:
    await exchange.answer_json(200, {"data": [{"id": "gpt-4o"}]})


def test_a_key_is_tried_before_it_is_used_and_a_test_can_be_stopped(
    qtbot: QtBot, session: Session, held: Held, dialogs: list[Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(error(401), _never, _models) as server:
        monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", server.base_url)

        def act(dialog: KeyDialog) -> None:
            QTest.keyClicks(dialog.findChildren(QLineEdit)[0], KEY)
            press(dialog, "Test")
            wait_for(qtbot, lambda: dialog.test_text() == "OpenAI refuses this key.")
            press(dialog, "Test")
            wait_for(qtbot, lambda: len(server.received) == 2)
            press(dialog, "Stop")
            wait_for(qtbot, server.gone.is_set)
            assert dialog.test_text() == ""
            press(dialog, "Test")
            wait_for(qtbot, lambda: dialog.test_text() == "The key works: OpenAI takes it and lists 1 model.")
            press(dialog, "Use this key")

        dialogs.append(act)
        press(section(session).row("openai"), "Enter the key for OpenAI")
        wait_for_place(qtbot, session, "keyring")
        row = session.settings.keys.row("openai")
        press(row, "Test the key for OpenAI")
        wait_for(qtbot, lambda: row.test_text() == "The key works: OpenAI takes it and lists 1 model.")
        assert {each.path for each in server.received} == {"/v1/models"}


def test_a_key_that_is_being_kept_is_kept_when_the_window_closes(
    qtbot: QtBot, session: Session, held: Held, dialogs: list[Act]
) -> None:
    dialogs.append(type_key(KEY))
    held.asked.clear()
    held.open.clear()
    press(section(session).row("openai"), "Enter the key for OpenAI")
    assert held.asked.wait(30)
    threading.Timer(0.5, held.open.set).start()
    session.end()
    assert held.entries == {"Nearfar/openai": KEY}
    assert SettingsFile(app_paths().settings_file).load().settings.kept_keys == ("openai",)


@pytest.mark.parametrize(
    ("address", "warned"),
    [("http://lab.example:8000/v1", True), ("https://lab.example/v1", False), ("http://127.0.0.1:8000/v1", False)],
)
def test_a_key_that_would_go_without_encryption_is_told_before_it_is_entered(
    session: Session, held: Held, dialogs: list[Act], address: str, warned: bool
) -> None:
    session.servers.add("lab", address)
    seen = []
    dialogs.append(lambda dialog: seen.append("not encrypted" in spoken(dialog)))
    row = section(session).row("custom:lab")
    press(row, "Enter the key for lab")
    assert seen == [warned]
    assert ("not encrypted" in row.line.says) == warned


def test_what_is_no_key_is_said_by_the_test_without_it(session: Session, held: Held, dialogs: list[Act]) -> None:
    def act(dialog: KeyDialog) -> None:
        type_key(f"Bearer {KEY}", then="Test")(dialog)
        assert dialog.test_text().startswith("The key begins with the word Bearer")
        assert "CANARY" not in dialog.test_text()

    dialogs.append(act)
    press(section(session).row("openai"), "Enter the key for OpenAI")


def test_local_only_is_not_left_for_a_test(qtbot: QtBot, session: Session, held: Held) -> None:
    session.bench.change(local_only=True, kept_keys=("groq",))
    held.entries = {"Nearfar/groq": KEY}
    row = section(session).row("groq")
    press(row, "Test the key for Groq")
    wait_for(qtbot, lambda: "Local only is switched on" in row.test_text())
    assert session.bench.egress.snapshot().connections == 0


def test_a_key_is_deleted_from_keyring_and_memory(qtbot: QtBot, session: Session, held: Held) -> None:
    held.entries = {"Nearfar/openai": KEY}
    session.bench.change(kept_keys=("openai",))
    row = section(session).row("openai")
    press(row, "Delete the key for OpenAI")
    press(session.window.findChildren(DeleteKeyDialog)[0], "Delete")
    wait_for_place(qtbot, session, "none")
    assert held.entries == {}
    assert session.bench.settings.kept_keys == ()


def test_a_test_is_no_choice_of_a_lane_and_does_not_hide_one(session: Session, dialogs: list[Act]) -> None:
    """The key is tried beyond this machine before the lane is chosen; both are the person's own wish."""
    bench = session.bench
    bench.egress.set_local_only(False)  # as a test or a download does
    assert bench.settings.local_only is None
    dialogs.append(type_key(KEY, keep=False))
    session.compare.target_chosen.emit(session.compare.lane_ids[1], "openai:gpt-4o")
    assert bench.settings.local_only is False, "kept for the next start"
