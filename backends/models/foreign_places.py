"""Where LM Studio, Jan, GPT4All, the Hugging Face cache and Ollama keep models. Must not walk what it names.

The rules are those of the programs themselves, as read on 2026-11-23, and hold for Linux, macOS and Windows:

- LM Studio: a file `~/.lmstudio-home-pointer` may name its home, else `~/.cache/lm-studio` or `~/.lmstudio`; the key
  `downloadsFolder` of the home's settings.json moves the models. (Closed source: seen in github.com/lmstudio-ai/lms
  issue 50, lmstudio-ai/lmstudio-js issue 21 and in programs that share its files.)
- Jan: JAN_DATA_FOLDER, else `data_folder` in Jan/settings.json of the system's data folder, else Jan/data there; before
  2025 `~/jan`. Models are in llamacpp/models and once were in models (github.com/janhq/jan,
  src-tauri/src/core/app/commands.rs and paths.rs).
- GPT4All: `modelPath` in nomic.ai/GPT4All.ini, else nomic.ai/GPT4All in the local data folder; Qt keeps an ini file in
  ~/.config on macOS too (github.com/nomic-ai/gpt4all, gpt4all-chat/src/mysettings.cpp and main.cpp).
- Hugging Face: HF_HUB_CACHE, else HF_HOME/hub, else huggingface/hub in XDG_CACHE_HOME or ~/.cache, on every system
  (huggingface.co/docs/hub/local-cache).
- Ollama: OLLAMA_MODELS, else `~/.ollama/models`; a Linux service runs as a user whose home is /usr/share/ollama
  (github.com/ollama/ollama, envconfig/config.go and docs/faq.mdx).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_SETTINGS_BYTES = 2**20
INI_MODEL_PATH = re.compile(r"^modelPath=(.*)$", re.MULTILINE)
INI_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{1,4})|\\(.)")


@dataclass(frozen=True, slots=True)
class Machine:
    """Whose folders are meant. `root` stands before paths that belong to the system; a test has its own."""

    home: Path
    environ: Mapping[str, str]
    platform: str
    root: Path = Path("/")

    @classmethod
    def this(cls) -> Machine:
        return cls(Path.home(), os.environ, sys.platform)

    def named(self, variable: str) -> Path | None:
        """The folder that a variable names; None where it is not set. A leading ~ is the home."""
        value = self.environ.get(variable, "").strip()
        return self.path(value) if value else None

    def path(self, text: str) -> Path:
        if text == "~" or text.startswith(("~/", "~\\")):
            return self.home / text[2:]
        return self.home / text  # an absolute path replaces the home

    @property
    def data(self) -> Path:
        """Where programs keep data that may roam with the user."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return self.named("APPDATA") or self.home / "AppData" / "Roaming"
        return self.named("XDG_DATA_HOME") or self.home / ".local" / "share"

    @property
    def local_data(self) -> Path:
        if self.platform == "win32":
            return self.named("LOCALAPPDATA") or self.home / "AppData" / "Local"
        return self.data

    @property
    def config(self) -> Path:
        if self.platform == "win32":
            return self.data
        return self.named("XDG_CONFIG_HOME") or self.home / ".config"


def lm_studio_folders(machine: Machine) -> list[Path]:
    homes = [machine.home / ".cache" / "lm-studio", machine.home / ".lmstudio"]
    pointed = read_text(machine.home / ".lmstudio-home-pointer").strip()
    if pointed:
        homes.insert(0, machine.path(pointed.splitlines()[0]))
    # Some versions keep the settings with the system's application data instead.
    settings = [*(home / "settings.json" for home in homes), machine.data / "LM Studio" / "settings.json"]
    chosen = [_text(read_json(place), "downloadsFolder") for place in settings]
    folders = [machine.path(folder) for folder in chosen if folder]
    return unique([*folders, *(home / "models" for home in homes)])


def jan_data_folders(machine: Machine) -> list[Path]:
    folders = [machine.named("JAN_DATA_FOLDER")]
    for place in (machine.data, machine.config):
        chosen = _text(read_json(place / "Jan" / "settings.json"), "data_folder")
        folders.append(machine.path(chosen) if chosen and os.path.isabs(machine.path(chosen)) else None)
    folders += [machine.data / "Jan" / "data", machine.home / "jan"]
    return unique([folder for folder in folders if folder is not None])


def gpt4all_folders(machine: Machine) -> list[Path]:
    match = INI_MODEL_PATH.search(read_text(machine.config / "nomic.ai" / "GPT4All.ini"))
    chosen = _ini_value(match[1]) if match else ""
    folders = [machine.path(chosen)] if chosen else []
    return unique([*folders, machine.local_data / "nomic.ai" / "GPT4All"])


def hugging_face_folders(machine: Machine) -> list[Path]:
    home = machine.named("HF_HOME")
    cache = machine.named("XDG_CACHE_HOME") or machine.home / ".cache"
    named = [machine.named("HF_HUB_CACHE"), machine.named("HUGGINGFACE_HUB_CACHE"), home / "hub" if home else None]
    default = [cache / "huggingface" / "hub", machine.home / ".cache" / "huggingface" / "hub"]
    return unique([*(folder for folder in named if folder is not None), *default])


def ollama_folders(machine: Machine) -> list[Path]:
    folders = [machine.named("OLLAMA_MODELS"), machine.home / ".ollama" / "models"]
    if machine.platform == "linux":
        folders.append(machine.root / "usr" / "share" / "ollama" / ".ollama" / "models")
    return unique([folder for folder in folders if folder is not None])


def unique(folders: list[Path]) -> list[Path]:
    return list(dict.fromkeys(folders))


def read_text(path: Path) -> str:
    """A small file of another program; empty where it is missing, unreadable, huge or no file at all."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            raw = file.read(MAX_SETTINGS_BYTES + 1)
    except (OSError, ValueError):
        return ""
    return "" if len(raw) > MAX_SETTINGS_BYTES else raw.decode("utf-8-sig", "replace")


def read_json(path: Path) -> Any:
    """As `read_text`, decoded; None where it is no JSON."""
    try:
        return json.loads(read_text(path) or "null")
    except (ValueError, RecursionError):
        return None


def _text(settings: Any, key: str) -> str:
    value = settings.get(key) if isinstance(settings, dict) else None
    return value.strip() if isinstance(value, str) and "\0" not in value else ""


def _ini_value(raw: str) -> str:
    """A text as Qt writes it in an ini file: perhaps quoted, with backslashes before themselves and before xNNNN."""
    text = raw.strip().removeprefix('"').removesuffix('"')
    return INI_ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], text).replace("\0", "")
