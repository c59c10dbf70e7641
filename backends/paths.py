"""Where every file the app writes lives; `NEARFAR_HOME` moves them all. Must not know what is in the files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import PlatformDirs

HOME_VARIABLE = "NEARFAR_HOME"
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders by purpose. None of them need exist: `ensure_folder` makes one when something is first written."""

    config: Path
    data: Path
    cache: Path
    logs: Path
    models: Path

    @property
    def settings_file(self) -> Path:
        return self.config / "settings.json"

    @property
    def prices_file(self) -> Path:
        """The person's own prices."""
        return self.config / "prices.json"

    @property
    def price_table_file(self) -> Path:
        """A table of prices that the person fetched; without it the one of the package holds."""
        return self.data / "price-table.json"

    @property
    def ledger_folder(self) -> Path:
        """What hosted answers cost, a file for each month, without a word of them."""
        return self.data / "spending"

    @property
    def old_ledger_file(self) -> Path:
        """The one file that earlier versions kept all months in."""
        return self.data / "spending.jsonl"

    @property
    def history_file(self) -> Path:
        return self.data / "history.sqlite3"

    @property
    def contacts_file(self) -> Path:
        """What went where and when, without what it was."""
        return self.data / "connections.jsonl"


def app_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """The folders of this user, or those under `NEARFAR_HOME` where it is set and not empty. Touches no disk."""
    home = environ.get(HOME_VARIABLE, "").strip()
    if home:
        base = Path(os.path.abspath(Path(home).expanduser()))
        return Paths(base / "config", base / "data", base / "cache", base / "logs", base / "models")
    folders = PlatformDirs("nearfar", appauthor=False)
    # Never in a cache folder: cleaning tools empty those, and a model is an hour of downloading.
    data = folders.user_data_path
    return Paths(folders.user_config_path, data, folders.user_cache_path, folders.user_log_path, data / "models")


def whole_path(written: str | Path) -> Path:
    """A path as a person wrote it, with `~` for a home, made absolute; touches no disk.

    Raises ValueError with the rest of a sentence where no system call would take it.
    """
    try:
        path = Path(written).expanduser().absolute()
        os.fsencode(path)
    except RuntimeError:
        raise ValueError("it names the home of a user that is not known here") from None
    except OSError:
        raise ValueError("the current folder is gone") from None
    except ValueError:
        raise ValueError("it holds a character that no path can hold") from None
    if "\0" in str(path):
        raise ValueError("it holds a character that no path can hold")
    return path


def ensure_folder(folder: Path) -> Path:
    """Make `folder` and what is missing above it, readable by this user alone; raises OSError.

    The mode of a folder that is there already is left as it is.
    """
    missing = []
    place = folder
    while not place.exists() and place != place.parent:
        missing.append(place)
        place = place.parent
    for part in reversed(missing):
        part.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)  # says so where a file stands in its place
    return folder
