"""The lists of models that servers gave, kept in one file of the cache folder. Must not ask a server."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from backends.cloud.offers import ModelList
from backends.cloud.providers import CloudModel
from backends.files import replace_file

log = logging.getLogger(__name__)

FILE_NAME = "model-lists.json"
MAX_FILE_BYTES = 8_000_000
MAX_LISTS = 50


class KnownModels:
    """By address, since another server may stand behind the same name tomorrow. Safe from any thread.

    The file is read at the first question, or by `read` after `read_later`. It is a cache: where it cannot be read or
    written, nothing is known.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # apart, so that nobody who only asks waits for the disk
        self._lists: dict[str, ModelList] | None = None
        self._reads_when_asked = True

    def read_later(self) -> None:
        """Until `read`, who asks is told nothing rather than made to wait for the disk."""
        self._reads_when_asked = False

    def read(self) -> None:
        """Reads the file; idempotent. Call it off the threads that must not wait."""
        lists = _read(self._path)
        with self._lock:
            if self._lists is None:
                self._lists = lists

    def of(self, base_url: str) -> ModelList | None:
        """What the server at this address said last, or None where it was never asked."""
        with self._lock:
            if self._lists is None and not self._reads_when_asked:
                return None
            return self._loaded().get(base_url)

    def keep(self, listed: ModelList) -> None:
        """Remember a list, on disk too; writes a file, so call it off the loop."""
        with self._lock:
            lists = self._loaded()
            lists.pop(listed.base_url, None)
            lists[listed.base_url] = listed
            for oldest in list(lists)[:-MAX_LISTS]:
                del lists[oldest]
        self._write()

    def forget(self, base_url: str) -> None:
        """As when its server is taken off the list; idempotent."""
        with self._lock:
            known = self._loaded().pop(base_url, None) is not None
        if known:
            self._write()

    def _loaded(self) -> dict[str, ModelList]:
        if self._lists is None:
            self._lists = _read(self._path)
        return self._lists

    def _write(self) -> None:
        with self._writing:
            with self._lock:
                lists = tuple(self._loaded().values())
            self._replace(lists)

    def _replace(self, lists: Iterable[ModelList]) -> None:
        stored = {
            "version": 1,
            "lists": [
                {
                    "base_url": each.base_url,
                    "as_of": each.as_of.isoformat(),
                    "app_version": each.app_version,
                    "models": [
                        [model.id, model.retires.isoformat() if model.retires else None] for model in each.models
                    ],
                }
                for each in lists
            ],
        }
        try:
            replace_file(self._path, json.dumps(stored, separators=(",", ":")).encode())
        except OSError as error:
            log.warning("the list of models was not kept: %s", error.strerror)


def _read(path: Path) -> dict[str, ModelList]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return {}
        stored = json.loads(path.read_bytes())
        lists = [_list(row) for row in stored["lists"][-MAX_LISTS:]]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("the lists of models were not read: %s", type(error).__name__)
        return {}
    return {each.base_url: each for each in lists}


def _list(row: Mapping[str, object]) -> ModelList:
    """Raises ValueError, TypeError or KeyError for anything that this program did not write."""
    base_url, as_of, rows = row["base_url"], row["as_of"], row["models"]
    if not isinstance(base_url, str) or not isinstance(as_of, str) or not isinstance(rows, list):
        raise TypeError("not a list of models")
    models = tuple(CloudModel(str(name), date.fromisoformat(day) if day else None) for name, day in rows)
    as_of_utc = datetime.fromisoformat(as_of).astimezone(UTC)
    return ModelList(base_url, models, as_of_utc, str(row.get("app_version", "")))
