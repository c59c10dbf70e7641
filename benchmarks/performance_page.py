"""Writes docs/performance.md from the figures in results/. Must not measure anything, nor hold a figure itself."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Figure, table

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
HEAD = (
    "A measuring instrument must not slow what it measures. These are the figures that hold Nearfar to it: each is a "
    "ratio to a peer in the same run, or a limit in milliseconds. Every table names the command that makes it, its day "
    "and its machine. `--compare FILE` on any of the commands sets a new run beside the kept one and fails where a "
    "figure became worse.",
    "This page is written by `.venv/bin/python benchmarks/performance_page.py` from `benchmarks/results/`.",
)
WIDTH = 120


@dataclass(frozen=True, slots=True)
class Part:
    """One script's section: where its figures are, and what a reader must know to read them."""

    script: str
    title: str
    text: str
    options: str = ""
    result: str = ""

    @property
    def name(self) -> str:
        return self.result or self.script


PARTS = (
    Part(
        "displayed",
        "Decoding, as it stands in the window",
        "`displayed` is the tok/s in the lane: window, engine thread, pipe and worker. `bench` is llama-bench of the "
        "same llama.cpp, as many tokens after as long a prompt, which draws no token and makes no text; `chat` is "
        "`create_chat_completion(stream=True)`, which turns the whole answer into text again for every token. All "
        "three have as many threads as the app chooses. The aims beside `chat` are those of the machine's own "
        "llama.cpp too: where `bench` itself is not so many times faster than `chat`, nothing can be.",
    ),
    Part(
        "displayed",
        "The same with all cores",
        "The app leaves a core to the window; here it does not. What `chat` does beside decoding weighs more, since "
        "decoding itself takes less time.",
        options="--threads 2 --only 56m",
        result="displayed_all_cores",
    ),
    Part(
        "flat_cost",
        "What a token costs beside llama_decode, as the answer grows",
        "Sampling, text and stamps of one answer of 16,000 tokens. What grows with it is its text and one number a "
        "token.",
    ),
    Part(
        "prefill",
        "Reading a prompt",
        "`ours` is the whole engine; the rows of llama-bench decide how many tokens are read at a time on this device.",
    ),
    Part(
        "second_turn",
        "What the KV cache saves",
        "TTFT over that of a fresh engine with the same messages. At temperature 0 the texts are compared, and only "
        "what was computed in whole steps of 256 tokens is taken over, so that they are the same to the last bit: up "
        "to 255 tokens and the last answer are read again, which is the price in a conversation as short as this one.",
    ),
    Part(
        "batch",
        "Many prompts at once",
        "Total tok/s of 8 sequences in one batch through worker and engine, beside a bare loop over llama.cpp's C API.",
    ),
    Part("threads", "Threads", "The whole table is in [measurements/threads.md](measurements/threads.md)."),
    Part(
        "two_lanes",
        "The answer view",
        "CPU of the GUI thread in one turn of its event loop, two lanes at 200 tok/s each.",
    ),
    Part("start_up", "Start-up and rest", "Beside a bare PySide6 window on the same display."),
    Part(
        "honest_metrics",
        "Figures while the window is blocked",
        "The GUI thread is blocked for 300 ms in every second; stamps are made where tokens are born. The server's "
        "pace is known; what the local lane shows is set beside llama.cpp's own clock of the same answer.",
    ),
)


def section(part: Part) -> str:
    """A part as Markdown; it says so where nothing was measured."""
    command = f".venv/bin/python benchmarks/{part.script}.py {part.options}".strip()
    kept = HERE / "results" / f"{part.name}.json"
    lines = [
        f"## {part.title}",
        "",
        f"    {command} --save benchmarks/results/{part.name}.json",
        "",
        textwrap.fill(part.text, WIDTH),
        "",
    ]
    if not kept.exists():
        return "\n".join([*lines, "Not measured yet.", ""])
    facts = json.loads(kept.read_text(encoding="utf-8"))
    return "\n".join([*lines, _when(facts), "", table([_figure(entry) for entry in facts["figures"]]), ""])


def _when(facts: dict[str, Any]) -> str:
    machine = facts["machine"]
    about = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts["about"].items())
    versions = ", ".join(f"{name} {value}" for name, value in facts["versions"].items())
    return f"{facts['measured_at'][:10]}, {machine['processor']}, {machine['cores']} cores; {about}; {versions}."


def _figure(entry: dict[str, Any]) -> Figure:
    return Figure(**{**entry, "samples": tuple(entry["samples"])})


def main() -> int:
    head = [f"{textwrap.fill(text, WIDTH)}\n" for text in HEAD]
    PAGE.write_text("\n".join(["# Performance\n", *head, *map(section, PARTS)]), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
