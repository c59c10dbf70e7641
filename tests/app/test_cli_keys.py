"""Keys on the command line: each server gets its own and no other, from a variable that is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.cli import main
from tests.app.test_cli import QUESTION, lines, nearfar
from tests.fakes.openai_server import OpenAIServer

BOTH = ("--target", "openai:gpt-4o", "--target", "custom:lab/model")
KEYS = {"OPENAI_API_KEY": "sk-for-openai", "LAB_API_KEY": "sk-for-the-lab"}


@pytest.fixture
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def lab() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def env(openai: OpenAIServer, lab: OpenAIServer) -> dict[str, str]:
    return {"NEARFAR_OPENAI_BASE_URL": openai.base_url, "NEARFAR_LAB_BASE_URL": lab.base_url, **KEYS}


def sent(server: OpenAIServer) -> list[str]:
    return [each.headers.get("authorization", "") for each in server.received]


def test_one_key_is_not_given_to_two_servers(openai: OpenAIServer, lab: OpenAIServer, env: dict[str, str]) -> None:
    done = nearfar("run", QUESTION, *BOTH, "--key-env", "OPENAI_API_KEY", env=env)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--key-env custom:lab=NAME --key-env openai=NAME" in done.stderr
    assert sent(openai) == sent(lab) == []


def test_each_server_gets_the_key_that_is_named_for_it(
    openai: OpenAIServer, lab: OpenAIServer, env: dict[str, str]
) -> None:
    named = ("--key-env", "openai=OPENAI_API_KEY", "--key-env", "custom:lab=LAB_API_KEY")
    done = nearfar("run", QUESTION, *BOTH, *named, env=env)
    assert done.returncode == 0, done.stderr
    assert sent(openai) == ["Bearer sk-for-openai"]
    assert sent(lab) == ["Bearer sk-for-the-lab"]


def test_a_server_without_a_named_key_gets_none(openai: OpenAIServer, lab: OpenAIServer, env: dict[str, str]) -> None:
    done = nearfar("run", QUESTION, *BOTH, "--key-env", "openai=OPENAI_API_KEY", env=env)
    assert done.returncode == 0, done.stderr
    assert sent(openai) == ["Bearer sk-for-openai"]
    assert not any("sk-" in each for each in sent(lab))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (("together=OPENAI_API_KEY",), "no target asks"),
        (("sk-secret=OPENAI_API_KEY",), "no target asks"),
        (("openai=sk-secret",), "never the key itself"),
        (("openai=OPENAI_API_KEY", "openai=LAB_API_KEY"), "two keys"),
    ],
)
def test_a_name_that_fits_nothing_is_a_sentence(named: tuple[str, ...], words: str, env: dict[str, str]) -> None:
    arguments = [part for each in named for part in ("--key-env", each)]
    done = nearfar("run", QUESTION, *BOTH, *arguments, env=env)
    assert done.returncode == 2
    assert words in done.stderr
    assert "sk-secret" not in done.stderr
    assert done.stdout == ""


CANARY = "sk-CANARYKEY1234567890abcdef"
PLAIN_CANARY = "CANARY0123456789abcdef0123456789"  # as the keys of some providers, without a mark before it


@pytest.mark.parametrize("key", [CANARY, PLAIN_CANARY, f"it's {CANARY}", f"{CANARY} (choose from {CANARY}"])
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("run", "hi", "--target", "openai:gpt-4o", "--api-key", "KEY"), "--api-key and 1 more"),
        (("run", "hi", "--target", "openai:gpt-4o", "--api-key=KEY", "KEY", "KEY"), "--api-key and 2 more"),
        (("run", "hi", "KEY", "--target", "practice"), "1 more argument than"),
        (("run", "hi", "--target", "practice", "--KEY", "-kKEY"), "2 more arguments than"),
        (("run", "hi", "--target", "practice", "--race=KEY"), "--race"),
        (("run", "hi", "--target", "practice", "--reasoning-effort", "KEY"), "choose from 'none'"),
        (("run", "hi", "--target", "practice", "--max-tokens", "KEY"), "--max-tokens"),
        (("run", "hi", "--target", "practice", "--temperature=KEY"), "--temperature"),
        (("fit", "--context", "KEY"), "--context"),
        (("models", "pull", "x", "--limit", "KEY"), "--limit"),
        (("history", "list", "--=KEY"), "could match"),
        (("history", "KEY"), "choose from 'list'"),
        (("--api-key", "KEY", "doctor"), "choose from 'run'"),
        (("KEY",), "choose from 'run'"),
    ],
)
def test_a_key_in_a_wrong_place_is_not_repeated(
    capsys: pytest.CaptureFixture[str], typed: tuple[str, ...], words: str, key: str
) -> None:
    assert main([part.replace("KEY", key) for part in typed]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert "CANARY" not in printed.err


def test_a_slip_that_is_no_key_is_still_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hi", "--target", "practice", "--max-tokens", "many"]) == 2
    assert main(["docter"]) == 2
    said = capsys.readouterr().err
    assert "“many” is not a whole number" in said
    assert "'docter'" in said


def test_two_models_of_one_server_share_its_key(openai: OpenAIServer, env: dict[str, str]) -> None:
    models = ("--target", "openai:gpt-4o", "--target", "openai:gpt-4o-mini", "--target", "local:demo")
    done = nearfar("run", QUESTION, *models, "--max-tokens", "4", "--key-env", "OPENAI_API_KEY", env=env)
    assert done.returncode == 0, done.stderr
    assert sent(openai) == ["Bearer sk-for-openai"] * 2


def test_a_missing_key_says_how_to_name_one_and_sends_nothing(openai: OpenAIServer, env: dict[str, str]) -> None:
    done = nearfar("run", QUESTION, "--target", "openai:gpt-4o", env=env)
    assert done.returncode == 1
    assert "--key-env OPENAI_API_KEY" in done.stderr
    assert sent(openai) == []
    done = nearfar("run", QUESTION, *BOTH, "--json", env=env)
    (failed,) = (event for event in lines(done) if event["event"] == "failed")
    assert "--key-env openai=OPENAI_API_KEY --key-env custom:lab=LAB_API_KEY" in failed["error"]["fix"]
