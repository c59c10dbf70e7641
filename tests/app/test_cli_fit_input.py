"""What `nearfar fit` says to bad input: one sentence, and nothing was started."""

from __future__ import annotations

import pytest

from app.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--context", "10"], "“10” is not a whole number from 256 to 1048576"),
        (["--context", "abc"], "“abc” is not a whole number"),
        (["--context", "-5"], "--context"),
        (["--kv", "f32"], "invalid choice: 'f32'"),
        (["--device", "foo"], "is not a device"),
        (["--device", "RTX 4090:24:30"], "more memory is free than there is"),
        (["--device", "RTX 4090:24:nan"], "is no plain number"),
        (["--device", "cpu:8:4", "--device", "cpu:8:4"], "one cpu"),
        (["nope"], "There is no model nope in the catalogue."),
        (["llama-3.1-8b:Q9"], "Did you mean llama-3.1-8b:Q8_0"),
        (["hf:a/b/c.gguf"], "not a model of the catalogue"),
        (["one", "two"], "1 more argument than this command takes"),
    ],
)
def test_bad_input_is_one_clear_sentence(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main(["fit", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert len(printed.err.splitlines()) == 1
    assert "Nothing was started." in printed.err


def test_a_model_that_cannot_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "llama-3.2-11b-vision"]) == 1
    assert "llama.cpp does not run Llama Vision" in capsys.readouterr().err
