"""What `nearfar fit` says in plain words where figures alone would mislead. Real processes, simulated machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.test_cli_fit import fit, ran


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the memory's speed is measured once."""
    return tmp_path_factory.mktemp("home")


def test_where_nothing_is_recommended_the_text_does_not_contradict_itself(home: Path) -> None:
    """The fastest may read along at the upper end of its range; it is offered once, with the line that gets it."""
    arguments = ("--device", "cpu:8:6:20", "--context", "131072")
    body = fit(home, *arguments)
    (fastest,) = [choice for choice in body["choices"] if choice["rank"] == 2]
    text = ran(home, *arguments).stdout
    assert "is likely to reach 10 tok/s" in " ".join(text.split())
    assert f"Get it with: nearfar models pull {fastest['ref']}" in text
    assert not any(line.startswith("2  ") for line in text.splitlines()), "the summary said it"
    assert "in reserve" in text, "why more is short than the table's figures differ by"


def test_a_name_that_tells_no_bandwidth_says_how_to_give_it(home: Path) -> None:
    assert "add it in GB/s" in ran(home, "--device", "unheard of:24:22").stdout
