"""Asks the shipped demo model in real llama.cpp.

It must not know how the model was trained; the corpus says which answer is right.
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "resources" / "demo"
MODEL = DEMO / "nearfar-demo.gguf"
LARGEST = 6_000_000
SMALLEST_CONTEXT = 2048


def load_script(name: str) -> ModuleType:
    """A module of packaging/demo_model, which is a folder of scripts and no package."""
    unique = f"demo_model_{name}"
    path = ROOT / "packaging" / "demo_model" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module


def sample_prompts() -> list[str]:
    listed = tomllib.loads((DEMO / "samples.toml").read_text(encoding="utf-8"))["sample"]
    return [item["prompt"] for item in listed]


@pytest.fixture(scope="module")
def texts() -> Any:
    return load_script("corpus").load()


@pytest.fixture(scope="module")
def model() -> Any:
    return load_script("answering").DemoModel(MODEL)


def ask(model: Any, question: str) -> list[str]:
    """The words of the greedy answer."""
    answer: str = model.answer([{"role": "user", "content": question}])
    return answer.split()


def test_file_is_small_and_not_executable() -> None:
    assert MODEL.stat().st_size <= LARGEST
    assert MODEL.stat().st_mode & 0o111 == 0


def test_context_holds_a_conversation(model: Any) -> None:
    assert model.llama._model.n_ctx_train() >= SMALLEST_CONTEXT


def test_label_says_what_it_is(model: Any) -> None:
    metadata = model.llama.metadata
    assert metadata["general.name"] == "Nearfar demo"
    assert metadata["general.license"] == "apache-2.0"
    assert "tiny demo model" in metadata["general.description"]


@pytest.mark.parametrize(
    "question",
    ["What is TTFT?", "Who are you?", "What is the KV cache?"],
)
def test_answers_a_question_as_the_corpus_does(model: Any, texts: Any, question: str) -> None:
    assert ask(model, question) == texts.entry(question).answer.split()


def test_says_that_it_does_not_know(model: Any, texts: Any) -> None:
    assert ask(model, "What is the capital of France?") == texts.out_of_scope.answer.split()


@pytest.mark.parametrize("prompt", sample_prompts())
def test_sample_prompt_gets_its_answer(model: Any, texts: Any, prompt: str) -> None:
    assert ask(model, prompt) == texts.entry(prompt).answer.split()


def test_second_turn_is_answered_too(model: Any, texts: Any) -> None:
    first, second = "What is a lane?", "What is P50?"
    chat = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": texts.entry(first).answer},
        {"role": "user", "content": second},
    ]
    assert model.answer(chat).split() == texts.entry(second).answer.split()
