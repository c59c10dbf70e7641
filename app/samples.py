"""The sample prompts that ship with the demo model. Must not know where they are shown."""

from __future__ import annotations

import tomllib

from resources import resource_path


def sample_prompts() -> list[tuple[str, str]]:
    """(title, prompt) pairs, in the order of the file."""
    with resource_path("demo", "samples.toml").open("rb") as file:
        samples = tomllib.load(file)["sample"]
    return [(sample["title"], sample["prompt"]) for sample in samples]
