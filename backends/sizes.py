"""Sizes of files and memory as people read them, in binary units. Pure: must not know where a size comes from."""

from __future__ import annotations

UNITS = ("KiB", "MiB", "GiB", "TiB")


def size_words(size_bytes: float) -> str:
    """For example `23.4 GiB` or `512 bytes`; three figures, 1 KiB = 1,024 bytes."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} bytes"
    size = float(size_bytes)
    for unit in UNITS:
        size /= 1024
        if size < 999.5 or unit == UNITS[-1]:
            break
    return f"{three_figures(size)} {unit}"


def three_figures(value: float) -> str:
    """`3.24`, `42.1`, `410`, `1,240`."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
