"""Keys in memory: what a person may paste, and that the value shows itself nowhere."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytest

from backends.errors import KeyMissing, NearfarError, UsageError
from backends.keys import BadKey, Secret, SessionKeys, key_from_env, parse_key, usual_variable

VALUE = "sk-CANARY-0123456789"


@dataclass(frozen=True)
class Holder:
    key: Secret


def test_a_secret_shows_itself_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    logging.getLogger("test").warning("key %s %r", secret, secret)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", "%s" % secret, repr(Holder(secret)), caplog.text]  # noqa: UP031
    assert all("CANARY" not in text for text in shown)
    assert secret.reveal() == VALUE
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy, lambda key: asdict(Holder(key))])
def test_a_secret_is_not_copied(copier: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        copier(Secret(VALUE))
    with pytest.raises(TypeError):
        json.dumps(Secret(VALUE))


def test_a_traceback_with_locals_does_not_show_it() -> None:
    key = Secret(VALUE)
    try:
        raise ValueError(f"broken with {key}")
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "key = Secret" in text
    assert "CANARY" not in text.replace('VALUE = "sk-CANARY-0123456789"', "")


def test_secrets_are_compared_and_not_hashed() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))


@pytest.mark.parametrize(
    ("pasted", "kept"),
    [
        (VALUE, VALUE),
        (f"  {VALUE}\n", VALUE),
        ("ollama", "ollama"),
        ("QUJDRA==", "QUJDRA=="),
        ("a" * 1024, "a" * 1024),
    ],
)
def test_what_a_person_pastes_is_taken(pasted: str, kept: str) -> None:
    assert parse_key(pasted).reveal() == kept


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        (f'"{VALUE}"', "quotation marks"),
        (f"'{VALUE}'", "quotation marks"),
        (f"Bearer {VALUE}", "Bearer"),
        (f"{VALUE} {VALUE}", "space or a line break"),
        (f"{VALUE}\n{VALUE}", "space or a line break"),
        (f"OPENAI_API_KEY={VALUE}", "equals sign"),
        (f"{VALUE}\N{ZERO WIDTH SPACE}", "character that no key has"),
        (f"{VALUE}é", "character that no key has"),
        (f"{VALUE}\x00", "character that no key has"),
        ("a" * 1025, "has 1,025 characters. Nearfar takes up to 1,024, .* Windows holds no more than 1,280"),
    ],
)
def test_what_is_no_key_is_a_sentence_without_it(pasted: str, words: str) -> None:
    with pytest.raises(BadKey, match=words) as caught:
        parse_key(pasted)
    assert "CANARY" not in str(caught.value)
    assert caught.value.problem.fix


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {VALUE} ")
    assert key_from_env("MY_KEY").reveal() == VALUE


@pytest.mark.parametrize("name", [VALUE, "sk_CANARY_typed_instead_of_a_name", "", "A B"])
def test_a_key_typed_for_a_name_is_not_repeated(name: str) -> None:
    with pytest.raises(NearfarError) as caught:
        key_from_env(name)
    assert isinstance(caught.value, UsageError | KeyMissing)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_without_key_is_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(KeyMissing, match="MY_KEY is not set"):
        key_from_env("MY_KEY")


def test_keys_are_kept_for_the_session() -> None:
    keys = SessionKeys()
    assert not keys.has("openai")
    assert keys.get("openai") is None
    keys.put("openai", Secret(VALUE))
    assert keys.has("openai")
    assert keys.get("openai") == Secret(VALUE)
    assert keys.get("groq") is None
    assert "CANARY" not in repr(vars(keys))
    assert not keys.put_if_none("openai", Secret("sk-late"))
    assert keys.get("openai") == Secret(VALUE)
    keys.forget("openai")
    keys.forget("openai")
    assert keys.put_if_none("groq", Secret(VALUE))
    assert not keys.has("openai")


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("custom:my-lab.2", "MY_LAB_2_API_KEY"),
        ("huggingface", "HF_TOKEN"),
    ],
)
def test_the_variable_that_usually_holds_a_key(name: str, variable: str) -> None:
    assert usual_variable(name) == variable
