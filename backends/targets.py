"""Reads and writes target names such as `local:demo`. Pure: must not look for files, keys or servers."""

from __future__ import annotations

from backends.errors import UnknownTarget
from backends.records import Target

PRACTICE = Target("practice", "demo")
DEMO = Target("local", "demo")
SELF_HOSTED = ("ollama", "llamacpp", "lmstudio", "vllm", "tgi")
PROVIDERS = ("local", "openai", "together", "groq", "openrouter", *SELF_HOSTED, "custom")
MAX_LENGTH = 4096


def parse_target(text: str) -> Target:
    """`local:<model or path>`, `practice`, `<provider>:<model>` or `custom:<name>/<model>`; raises UnknownTarget."""
    name = text.strip()
    if name == "practice":
        return PRACTICE
    provider, colon, model = name.partition(":")
    if not colon or not model or len(name) > MAX_LENGTH:
        raise UnknownTarget(f"“{name[:80]}” is not a target.")
    if provider not in PROVIDERS:
        raise UnknownTarget(f"There is no provider named “{provider[:40]}”.")
    if provider == "custom" and not all(model.partition("/")):
        raise UnknownTarget(f"“{name[:80]}” needs a server and a model, as custom:<name>/<model>.")
    return Target(provider, model)
