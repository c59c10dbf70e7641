"""What the command line prints where printing is hard: other encodings, broken pipes, full disks, hostile names."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from backends.paths import app_paths
from backends.records import Target
from backends.workbench import Workbench
from tests.app.test_cli import LIMIT_S, QUESTION, lines, nearfar
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, by_path, chunk, error
from tests.gguf_factory import write_script

COMMAND = [sys.executable, "-m", "app"]
ASK_DEMO = ("run", QUESTION, "--target", "local:demo", "--max-tokens", "4")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FULL = Path("/dev/full")


@pytest.fixture(autouse=True)
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on anybody's machine: what could not be written is tried once more when Python ends."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


UNKNOWN_COST = "nearfar: What it may cost is not known.\n"  # a server of one's own may well be one that bills


def lab(server: OpenAIServer) -> dict[str, str]:
    return {"NEARFAR_LAB_BASE_URL": server.base_url}


def on_a_terminal(*arguments: str) -> str:
    """Everything that a terminal is sent, standard error included."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # Linux says so when the other end has closed
            while piece := os.read(ours, 65536):
                seen += piece
        os.close(ours)
        child.wait(LIMIT_S)
    return seen.decode()


def statuses() -> list[str]:
    return [run["status"] for each in lines(nearfar("history", "list", "--json")) for run in each["runs"]]


def test_a_locale_without_our_characters_loses_nothing() -> None:
    done = nearfar(*ASK_DEMO, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert " tok/s · 4 tokens · " in done.stdout
    assert done.stderr == "nearfar: The answer was cut off at 4 tokens. Ask for more with --max-tokens.\n"


def test_a_server_that_sends_half_characters_still_finishes() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"content": "yes"}, model="scr\ud800ipted"))
        await exchange.event(chunk({}, finish_reason="st\udfffop", model="scr\ud800ipted"))
        await exchange.data(b"data: [DONE]\n\n")
        await exchange.end()

    with OpenAIServer(script) as server:
        done = nearfar("run", QUESTION, "--target", "custom:lab/model", "--json", env=lab(server))
    assert done.returncode == 0, done.stderr
    result = lines(done)[-1]["result"]
    assert (result["model"], result["finish_reason"]) == ("scr\ufffdipted", "st\ufffdop")


def test_notices_are_said_beside_json_lines_and_not_in_them() -> None:
    refusal = error(400, message="`temperature` is deprecated for this model.")
    with OpenAIServer(refusal, answer("ok")) as server:
        done = nearfar("run", QUESTION, "--target", "custom:lab/model", "--json", env=lab(server))
    assert done.returncode == 0, done.stderr
    assert [event["event"] for event in lines(done)] == ["started", "delta", "finished"]
    assert done.stderr == f"{UNKNOWN_COST}nearfar: model does not take temperature: asked again without it.\n"


def test_a_model_that_retires_soon_or_has_is_said_with_its_day(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = (date.today() + timedelta(days=60)).isoformat()  # noqa: DTZ011
    listed = {"data": [{"id": "soon", "shutdown_date": soon}, {"id": "later", "shutdown_date": "2100-01-01"}]}
    with OpenAIServer(by_path({"/v1/models": listed}), answer("ok")) as server:
        monkeypatch.setenv("NEARFAR_LAB_BASE_URL", server.base_url)
        bench = Workbench.open()
        asyncio.run(bench.servers.list_models(Target("custom", "lab/default")))
        asyncio.run(bench.close())
        named = [part for model in ("soon", "later", "other") for part in ("--target", f"custom:lab/{model}")]
        done = nearfar("run", QUESTION, *named, "--json", env=lab(server))
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"nearfar: lab retires soon on {soon}.\n{UNKNOWN_COST}"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such file name")
def test_a_path_that_is_not_utf8_is_a_sentence(tmp_path: Path) -> None:
    target = "local:" + os.fsdecode(bytes(tmp_path) + b"/\xff.gguf")
    done = nearfar("run", QUESTION, "--target", target, "--json")
    assert done.returncode == 1
    assert [event["event"] for event in lines(done)] == ["started", "failed"]
    assert {event["target"] for event in lines(done)} == {target}
    done = nearfar("run", QUESTION, "--target", target)
    assert done.returncode == 1
    assert "\\udcff.gguf\n" in done.stdout
    assert len(done.stderr.splitlines()) == 1


def test_standard_input_that_is_not_utf8_is_read() -> None:
    arguments = ["run", "-", "--target", "local:demo", "--max-tokens", "4"]
    done = subprocess.run(
        [*COMMAND, *arguments], input=b"\xff What?", capture_output=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode, b"cut off at 4 tokens" in done.stderr) == (0, True)
    (kept,) = lines(nearfar("history", "list", "--json"))
    assert kept["prompt_start"] == "\ufffd What?"


def test_a_prompt_that_is_too_long_is_refused_not_cut() -> None:
    done = nearfar("run", "-", "--target", "local:demo", stdin="x" * (16 * 2**20 + 1))
    assert done.returncode == 2
    assert "longer than 16,777,216 characters" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_that_goes_away_stops_the_run_quietly(tmp_path: Path, form: tuple[str, ...]) -> None:
    endless = write_script(tmp_path / "endless.gguf", (b" round", b" and"), loop_to=0)
    arguments = ["run", "go", "--target", f"local:{endless}", "--max-tokens", "1000000", *form]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(200)
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(LIMIT_S) == 130
    assert statuses() == ["cancelled"]


def on_a_full_disk(*arguments: str) -> subprocess.CompletedProcess[str]:
    with FULL.open("w") as full:
        return subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_the_runs_with_a_sentence_and_breaks_no_engine() -> None:
    done = on_a_full_disk("run", QUESTION, "--target", "local:demo", "--target", "practice")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "could not be printed (No space left on device)" in done.stderr
    assert statuses() == ["cancelled", "cancelled"]
    done = on_a_full_disk("history", "list")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the streams")
def test_a_closed_stream_is_a_sentence() -> None:
    def shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = f'exec "$@" {redirection}'
        return subprocess.run(
            ["sh", "-c", script, "sh", *COMMAND, *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )

    for redirection, status, words in ((">&-", 1, "no standard output"), ("<&-", 2, "no standard input")):
        done = shell(redirection, "run", "-", "--target", "local:demo")
        assert done.returncode == status
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = shell("2>&-", "run", QUESTION, "--target", "local:no-such-model", "--json")
    assert [event["event"] for event in lines(done)] == ["started", "failed"]


def target_name() -> subprocess.CompletedProcess[str]:
    with OpenAIServer() as server:
        return nearfar("run", QUESTION, "--target", "custom:lab/\x1b[31mred\x9b5m\nnearfar: fine", env=lab(server))


def notice_and_problem() -> subprocess.CompletedProcess[str]:
    with OpenAIServer(error(404, message="no \x1b]0;owned\x07 model")) as server:
        env = {"NEARFAR_OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-test"}
        target = "openai:o3\x1b]0;owned\x07\nnearfar: fine"
        return nearfar("run", QUESTION, "--target", target, "--key-env", "OPENAI_API_KEY", env=env)


def bad_usage() -> subprocess.CompletedProcess[str]:
    return nearfar("run", QUESTION, "--target", "\x1b[31mred\nnearfar: fine")


def history_list() -> subprocess.CompletedProcess[str]:
    target_name()
    return nearfar("history", "list")


def history_show() -> subprocess.CompletedProcess[str]:
    notice_and_problem()
    (kept,) = lines(nearfar("history", "list", "--json"))
    return nearfar("history", "show", kept["id"])


@pytest.mark.parametrize("act", [target_name, notice_and_problem, bad_usage, history_list, history_show])
def test_no_name_or_sentence_steers_the_terminal(act: Callable[[], subprocess.CompletedProcess[str]]) -> None:
    done = act()
    assert "red" in done.stdout + done.stderr or "owned" in done.stdout + done.stderr
    printed = done.stdout + done.stderr
    assert not CONTROLS.search(printed), repr(printed)
    assert not any(line.startswith("nearfar: fine") for line in printed.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_export_to_a_terminal_does_not_steer_it_and_one_to_a_file_is_whole(form: tuple[str, ...]) -> None:
    assert nearfar("run", "a \x9b5m b \x7f", "--target", "local:demo", "--max-tokens", "2").returncode == 0
    (kept,) = lines(nearfar("history", "list", "--json"))
    shown = on_a_terminal("history", "export", kept["id"], *form).replace("\r\n", "\n")
    assert "a 5m b " in shown
    assert not CONTROLS.search(shown)
    assert "a \x9b5m b \x7f" in nearfar("history", "export", kept["id"], *form).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")
def test_loading_progress_is_wiped_before_anything_else_is_printed(tmp_path: Path) -> None:
    noise = tmp_path / "noise.gguf"
    noise.write_bytes(b"GGUF" + b"\xff" * 4000)
    for arguments in (ASK_DEMO, ("run", QUESTION, "--target", f"local:{noise}")):
        shown = on_a_terminal(*arguments)
        assert re.search(r"loading +\d+% \r", shown), repr(shown)
        assert not re.search(r"loading +\d+% (?!\r(?:loading|\x1b\[K))", shown), repr(shown)


def test_an_answer_that_the_server_cut_off_is_a_failure() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("The first half")
        await exchange.end()

    with OpenAIServer(script) as server:
        done = nearfar("run", QUESTION, "--target", "custom:lab/model", env=lab(server))
    assert done.returncode == 1
    assert "The first half" in done.stdout
    assert "incomplete" in done.stderr
    assert "1 a run failed, or the server ended an answer early" in " ".join(nearfar("run", "--help").stdout.split())


def test_settings_that_were_left_out_are_told_on_standard_error() -> None:
    file = app_paths().settings_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"temperature": "hot"}))
    done = nearfar(*ASK_DEMO, "--json")
    assert done.returncode == 0
    warnings = done.stderr.splitlines()
    assert any("temperature" in line for line in warnings)
    assert all(line.startswith("nearfar: ") for line in warnings)
    assert lines(done)[-1]["event"] == "finished"


def test_commands_do_not_import_what_reads_the_command_line() -> None:
    code = "import sys, app.cli_run, app.cli_history, app.cli_doctor; sys.exit('app.cli' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=LIMIT_S, check=False).returncode == 0


def test_what_is_logged_is_not_printed_beside_what_is_said() -> None:
    app_paths().config.parent.mkdir(exist_ok=True)
    app_paths().config.write_text("a file where settings would go")
    done = nearfar("run", "hi", "--target", "local:demo", "--max-tokens", "4")
    assert all(line.startswith("nearfar: ") for line in done.stderr.splitlines()), done.stderr


def test_the_doctor_says_that_it_is_looking() -> None:
    assert on_a_terminal("doctor").startswith("Looking at this machine")


def test_the_doctor_reports_settings_and_prices_that_could_not_be_read() -> None:
    paths = app_paths()
    paths.settings_file.parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file.write_text('{"local_only": tr')
    paths.prices_file.mkdir(parents=True)  # as unreadable as one without permission, for an administrator too
    found = json.loads(nearfar("doctor", "--json").stdout)["problems"]
    (settings,) = [each for each in found if "The settings file is damaged" in each["what"]]
    assert f"The file as it was is kept as {paths.settings_file}.bad." in settings["what"]
    assert str(paths.settings_file) in settings["fix"]
    (prices,) = [each for each in found if "Your prices in" in each["what"]]
    assert "could not be read" in prices["what"]
    assert "The file is as it was." in prices["what"]
    assert "enter your prices again in the window's Settings." in prices["fix"]
    shown = nearfar("doctor").stdout
    assert "No problems found" not in shown
    assert f"- {settings['what']}\n  {settings['fix']}\n" in shown
    assert paths.settings_file.read_text() == '{"local_only": tr'
