"""Runs a GGUF in llama.cpp greedily, with the chat template that the file itself carries.

It must not know the corpus or which answer would be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp
from jinja2.sandbox import ImmutableSandboxedEnvironment

Chat = list[dict[str, str]]
MAX_TOKENS = 500


def same_text(one: str, other: str) -> bool:
    """Equal but for blanks and line ends."""
    return one.split() == other.split()


def register_backends() -> None:
    """Builds with loadable backends find none until they are told where to look."""
    library: Any = llama_cpp.llama_cpp._lib
    if library.ggml_backend_reg_count() == 0:
        folder = Path(llama_cpp.__file__).parent / "lib"
        library.ggml_backend_load_all_from_path(str(folder).encode())


class DemoModel:
    """One loaded model with its template."""

    def __init__(self, path: Path, context: int = 2048) -> None:
        register_backends()
        options: dict[str, Any] = {"n_ctx": context, "n_threads": 1, "n_threads_batch": 1}
        self.llama: Any = llama_cpp.Llama(str(path), flash_attn=True, verbose=False, **options)
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        metadata: dict[str, str] = self.llama.metadata
        self.template = environment.from_string(metadata["tokenizer.chat_template"])
        self.begin = self.llama.detokenize([self.llama.token_bos()], special=True).decode()

    def tokens(self, chat: Chat) -> list[int]:
        """The prompt as the model reads it."""
        text = self.template.render(messages=chat, bos_token=self.begin, add_generation_prompt=True)
        return list(self.llama.tokenize(text.encode(), add_bos=False, special=True))

    def count(self, chat: Chat) -> int:
        return len(self.tokens(chat))

    def answer(self, chat: Chat) -> str:
        """The most likely answer, token by token."""
        prompt = self.tokens(chat)
        self.llama.reset()
        found: list[int] = []
        for token in self.llama.generate(prompt, temp=0.0, repeat_penalty=1.0):
            if token == self.llama.token_eos() or len(found) == MAX_TOKENS:
                break
            if len(prompt) + len(found) + 1 >= self.llama.n_ctx():
                break
            found.append(token)
        text: bytes = self.llama.detokenize(found)
        return text.decode("utf-8", errors="replace")
