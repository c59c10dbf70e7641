"""The app's own version, read once. Must not know anything else."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    APP_VERSION = version("nearfar")
except PackageNotFoundError:  # run from a checkout that was never installed
    APP_VERSION = "0.0.0+unknown"
