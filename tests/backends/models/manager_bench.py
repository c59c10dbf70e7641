"""What `Models` stands on in the program, for its tests: settings on disk, the policy and keys. Must not judge."""

from __future__ import annotations

from dataclasses import replace

from backends.egress import Egress
from backends.egress_policy import Policy
from backends.errors import Problem, SettingsNotSaved
from backends.key_ring import KeyRing
from backends.models.manager import Models
from backends.paths import app_paths
from backends.settings import SettingsFile

REPO = "maker/Tiny-GGUF"
FILE = "tiny-Q8_0.gguf"
REF = f"hf:{REPO}/{FILE}"


class Bench:
    """What the program has besides models: settings on disk, the policy and keys."""

    def __init__(self) -> None:
        self.paths = app_paths()
        self.file = SettingsFile(self.paths.settings_file)
        self.settings = self.file.load().settings
        self.egress = Egress(Policy(local_only=True))
        self.keys = KeyRing(kept=lambda: self.settings.kept_keys, change=self.change, save=self.save)
        self.refuses_to_save = False
        self.loaded: set[str] = set()
        self.models = Models(
            self.paths,
            settings=lambda: self.settings,
            change=self.change,
            save=self.save,
            egress=self.egress,
            keys=self.keys,
            in_use=lambda: self.loaded,
        )

    def change(self, **changes: object) -> None:
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]

    async def save(self) -> Problem | None:
        if self.refuses_to_save:
            return SettingsNotSaved("The settings could not be saved.").problem
        self.file.save(self.settings)
        return None
