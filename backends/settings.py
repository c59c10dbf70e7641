"""What the person chose, kept in one JSON file in the config folder. Must not know who shows it, and holds no key.

Each setting declares its name, type, default and wording once, as a field of `Settings`; the Settings page and the
warnings read their words from there, and the limits are checked wherever a value is written by a person.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, Field, Strict, TypeAdapter, ValidationError

from backends.errors import SettingsNotSaved
from backends.file_lock import alone
from backends.files import replace_file
from backends.records import Effort, KvType, Sampling
from backends.settings_limits import (
    UNREADABLE_PROXY,
    Budget,
    RepoName,
    Servers,
    TargetName,
    folder_path,
    proxy_address,
    read_only,
)
from backends.settings_text import MAX_FILE_BYTES, misspelt, parse

MAX_LANES = 4
PRIVATE_CHOICES: Mapping[str, bool] = MappingProxyType({"local_only": True, "keep_history": False})
# What stands in for a limit that cannot be read: nothing that costs money is sent, nothing goes around a proxy.
LIMITS: Mapping[str, float | str] = MappingProxyType(
    {"session_budget_usd": 0.0, "month_budget_usd": 0.0, "proxy_url": UNREADABLE_PROXY}
)
HOLDS = {
    **dict.fromkeys(
        ("session_budget_usd", "month_budget_usd"),
        "until you choose again it is $0, which sends nothing that costs money",
    ),
    "proxy_url": "until you choose again, nothing outside this machine is contacted",
}
CAUTION = "Until you choose again, nothing outside this machine is contacted and no history is kept."


Stamp = tuple[int, int, int]  # each save makes another file, so the number of the file tells two quick ones apart


@dataclass(frozen=True, slots=True)
class Wording:
    """How a setting is named and explained to a person."""

    label: str
    help: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting. Prices are US dollars per kilowatt-hour, context is in tokens; None leaves a choice to the app."""

    theme: Annotated[Literal["system", "light", "dark"], Wording("Theme", "Light, dark, or as the system is set.")] = (
        "system"
    )
    keep_history: Annotated[
        bool, Strict(), Wording("Keep history", "Off: prompts and answers are shown, and never written to disk.")
    ] = True
    # None until the person decides: nothing outside is contacted until they choose a lane that leaves this machine.
    local_only: Annotated[
        Annotated[bool, Strict()] | None,
        Wording("Local only", "On: Nearfar contacts nothing outside this machine, whatever a lane asks."),
    ] = None
    lane_order: Annotated[
        Literal["sequence", "race"],
        Wording("Order of lanes", "One after the other is fair; at the same time, lanes compete for this machine."),
    ] = "sequence"
    lanes: Annotated[
        tuple[TargetName, ...], Field(max_length=MAX_LANES), Wording("Lanes", "The targets of the last session.")
    ] = ("local:demo", "practice")
    max_tokens: Annotated[Annotated[int, Field(ge=1, le=1_000_000)] | None, Wording("Longest answer", "In tokens.")] = (
        1024
    )
    temperature: Annotated[
        float, Field(ge=0, le=2, allow_inf_nan=False), Wording("Temperature", "0 always takes the likeliest token.")
    ] = 0.7
    top_k: Annotated[
        int, Field(ge=0, le=1_000_000), Wording("Top k", "Choose among the k likeliest tokens; 0 is no limit.")
    ] = 40
    top_p: Annotated[
        float, Field(ge=0, le=1), Wording("Top p", "Choose among the likeliest tokens that add up to p.")
    ] = 0.95
    min_p: Annotated[
        float, Field(ge=0, le=1), Wording("Min p", "Drop tokens less likely than this share of the likeliest.")
    ] = 0.05
    repeat_penalty: Annotated[
        float, Field(ge=0.1, le=10, allow_inf_nan=False), Wording("Repeat penalty", "1 is none; higher repeats less.")
    ] = 1.0
    seed: Annotated[
        Annotated[int, Field(ge=0, le=2**32 - 2)] | None, Wording("Seed", "The same seed gives the same answer.")
    ] = None
    stop: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
        Field(max_length=16),
        Wording("Stop at", "The answer ends before any of these texts."),
    ] = ()
    reasoning_effort: Annotated[
        Effort | None,
        Wording(
            "Reasoning effort", "How much a model thinks before it answers, where it lets you say; empty is its own."
        ),
    ] = None
    n_ctx: Annotated[
        int,
        Field(ge=256, le=1_048_576),
        Wording("Context", "Tokens that prompt and answer may have together; a longer context takes more memory."),
    ] = 8192
    kv_type: Annotated[
        KvType, Wording("KV cache", "f16 is exact; q8_0 and q4_0 take a half and a quarter of the memory.")
    ] = "f16"
    models_folder: Annotated[
        Annotated[str, Field(max_length=4096), AfterValidator(folder_path)] | None,
        Wording("Models folder", "Where downloaded models are kept."),
    ] = None
    download_limit_mb_s: Annotated[
        Annotated[float, Field(gt=0, le=100_000)] | None,
        Wording("Download limit", "In megabytes per second; empty is no limit."),
    ] = None
    accepted_licences: Annotated[
        tuple[Annotated[str, Field(max_length=100)], ...],
        Field(max_length=1000),
        Wording("Accepted licences", "Licences of models that you accepted."),
    ] = ()
    added_repos: Annotated[
        tuple[RepoName, ...], Field(max_length=1000), Wording("Your repos", "Hugging Face repos that you added.")
    ] = ()
    first_start_done: Annotated[bool, Wording("First steps", "Off shows the assistant again at the next start.")] = (
        False
    )
    kept_keys: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=400)], ...],
        Field(max_length=200),
        Wording("Keys", "Whose keys the keyring of this system holds; the keys themselves are never in this file."),
    ] = ()
    offered_variables: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=100)], ...],
        Field(max_length=200),
        Wording("Offered variables", "Environment variables whose key was offered once; they are not offered again."),
    ] = ()
    proxy_url: Annotated[
        Annotated[str, Field(max_length=2000), AfterValidator(proxy_address)] | None,
        Wording("Proxy", "Connections to other machines go through it; those on this machine never do."),
    ] = None
    ca_file: Annotated[
        Annotated[str, Field(min_length=1, max_length=4096)] | None,
        Wording("Extra certificates", "A PEM file of certificate authorities, trusted besides the system's own."),
    ] = None
    session_budget_usd: Annotated[
        Budget | None,
        Wording("Budget for a session", "In US dollars; a question that could pass it is not sent. Empty: no limit."),
    ] = None
    month_budget_usd: Annotated[
        Budget | None,
        Wording("Budget for a month", "In US dollars; a question that could pass it is not sent. Empty: no limit."),
    ] = None
    custom_servers: Annotated[
        Servers,
        Field(max_length=100),
        AfterValidator(read_only),
        Wording("Your servers", "OpenAI-compatible servers by name; their keys are never kept here."),
    ] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def sampling(self) -> Sampling:
        """The sampling that a new prompt starts with."""
        return Sampling(**{name: getattr(self, name) for name in SAMPLING_FIELDS})


SAMPLING_FIELDS = tuple(each.name for each in dataclasses.fields(Sampling))
KEYS = tuple(each.name for each in dataclasses.fields(Settings))


def wording(key: str) -> Wording:
    """The words of a setting; raises KeyError."""
    return next(part for part in _hints()[key].__metadata__ if isinstance(part, Wording))


@cache
def _hints() -> Mapping[str, Any]:
    return get_type_hints(Settings, include_extras=True)


@cache
def _adapter(key: str) -> TypeAdapter[Any]:
    return TypeAdapter(_hints()[key])


def checked(settings: Settings) -> Settings:
    """The same settings, every value within its limits; raises ValueError with a sentence."""
    values, warnings = _read({key: getattr(settings, key) for key in KEYS})
    if warnings:
        raise ValueError(warnings[0])
    return Settings(**values)


def _read(stored: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    warnings = []
    for key in KEYS:
        if key not in stored:
            continue
        try:
            values[key] = _adapter(key).validate_python(stored[key])
        except ValidationError as error:
            why = error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]
            reason = why.removeprefix("Value error, ").rstrip(".")
            instead = f"; {HOLDS[key]}" if key in HOLDS else " and was left out"
            warnings.append(f"The setting “{wording(key).label}” ({key}) was not usable{instead}: {reason}.")
    return values, warnings


def _cautious(values: dict[str, Any], stored: Mapping[str, Any], *, damaged: bool) -> dict[str, Any]:
    """Where what the person chose about privacy or a limit cannot be read, what gives nothing away stands in for it.

    Where the end of a file is lost, that a limit stood there is likely only if what stands before it can be read.
    """
    lost = {key for key in PRIVATE_CHOICES if key not in values and (damaged or key in stored)}
    cut = damaged and values.get("local_only") is False
    limits = {key for key in LIMITS if key not in values and (cut or key in stored)}
    return values | {key: PRIVATE_CHOICES[key] for key in lost} | {key: LIMITS[key] for key in limits}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings as they could be read, with one sentence for each thing that could not."""

    settings: Settings
    warnings: tuple[str, ...] = ()


class SettingsFile:
    """The file itself, which other processes write too. Not safe for two threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: Stamp | None = None  # of the file as it was read or written here last
        self._unknown: dict[str, Any] = {}  # what a newer version wrote, to be written back

    def load(self, known: Settings | None = None) -> Loaded:
        """Read the file. Never raises: what is damaged falls back to its default and the file is kept beside.

        Where the file as a whole is damaged, `known` stands in for what cannot be read, but not for privacy.
        """
        try:
            raw = self._read_bytes()
        except FileNotFoundError:
            self._unknown, self._before = {}, Settings()
            return Loaded(self._before)
        except OSError as error:
            reason = error.strerror or "unknown reason"
            warning = f"The settings file {self.path} could not be read: {reason}. The file is as it was. {CAUTION}"
            return Loaded(replace(known or Settings(), **_cautious({}, {}, damaged=True)), (warning,))
        stored, warnings = parse(raw)
        self._unknown = {key: value for key, value in stored.items() if key not in KEYS}
        values, bad_keys = _read(stored)
        for name, key in misspelt(stored, KEYS).items():
            bad_keys.append(f"The settings file says “{name}”, which is not read: the setting is called {key}.")
            stored[key] = None  # as one that cannot be read
        damaged = bool(warnings)
        if damaged or bad_keys:
            values = _cautious(values, stored, damaged=damaged)
        warnings += bad_keys
        if warnings:
            warnings.append(self._keep_damaged(raw))
        rest = known if damaged and known is not None else Settings()
        return Loaded(replace(rest, **values), tuple(warnings))

    def news(self, known: Settings) -> Settings | None:
        """What the file says now where another process has written it since; None where it has not, or the file is not
        there, empty (it is being written) or cannot be read: what was known then goes on holding."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        if _stamp(found) == self._stamp or not found.st_size or not self.path.is_file():
            return None
        return self.load(known).settings

    def save(self, settings: Settings, base: Settings | None = None) -> Settings:
        """Replace the file in one step, durably, and return what it holds then; raises SettingsNotSaved, and the old
        file is then untouched.

        With `base`, what the file said when it was read last, only what is another in `settings` is written.
        """
        try:
            settings = checked(settings)
            with alone(self.path):
                settings = checked(self._joined(settings, base))
                replace_file(self.path, self._text(settings).encode("utf-8", "replace"))
                self._stamp = _stamp(os.stat(self.path))
        except ValueError as error:
            raise SettingsNotSaved(str(error), fix="Change that value.") from error
        except OSError as error:
            raise SettingsNotSaved(f"The settings could not be saved in {self.path}: {error.strerror}.") from error
        return settings

    def _joined(self, settings: Settings, base: Settings | None) -> Settings:
        from backends.settings_merge import merged

        try:
            found = os.stat(self.path)
        except OSError:
            return settings
        if _stamp(found) == self._stamp:
            return settings
        theirs = self.load(base).settings
        return settings if base is None else merged(base, settings, theirs)

    def _text(self, settings: Settings) -> str:
        stored = {key: _adapter(key).dump_python(_plain(getattr(settings, key)), mode="json") for key in KEYS}
        return json.dumps({**self._unknown, **stored}, indent=2, ensure_ascii=False) + "\n"

    def _read_bytes(self) -> bytes:
        if os.path.lexists(self.path) and not self.path.is_file():  # a pipe would never end, a dead link hides a choice
            raise OSError(errno.EINVAL, "it is no file, or a link to where nothing is")
        with self.path.open("rb") as file:
            self._stamp = _stamp(os.fstat(file.fileno()))
            return file.read(MAX_FILE_BYTES + 1)

    def _keep_damaged(self, raw: bytes) -> str:
        copy = self.path.with_name(self.path.name + ".bad")
        try:
            replace_file(copy, raw)
        except OSError:
            return f"The file {self.path} is as it was until settings are saved again."
        return f"The file as it was is kept as {copy}."


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
