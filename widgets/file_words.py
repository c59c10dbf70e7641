"""Plain words for downloads and for files on this disk. Must not know Qt, the network or the disk."""

from __future__ import annotations

from widgets import format as fmt
from widgets.model_values import HUB_HOST, DownloadLine, InstalledLine


def download_line(line: DownloadLine) -> str:
    """How a download stands, in one line."""
    if line.asking_hub:
        return f"Asking {HUB_HOST}…"
    amount = fmt.part_of(line.received_bytes, line.total_bytes)
    if line.state == "queued":
        return "Waits for its turn" if not line.received_bytes else f"Waits for its turn, {amount} here"
    if line.state == "done":
        return f"Done, {fmt.byte_size(line.received_bytes)}, checked"
    if line.state in ("paused", "cancelled", "failed"):
        return f"{line.state.capitalize()}, {amount} here"
    figures = [amount]
    if line.rate_bytes_s is not None:
        figures.append(fmt.rate(line.rate_bytes_s))
    if line.left_s is not None:
        figures.append(fmt.time_left(line.left_s))
    return "  ·  ".join(figures)


def share(line: DownloadLine) -> float | None:
    """What has arrived, 0 to 1; None where the whole is not known."""
    if not line.total_bytes:
        return None
    return min(1.0, line.received_bytes / line.total_bytes)


def lack_of_room(size_bytes: int, free_bytes: int | None) -> str:
    """What to know before a download that the disk cannot hold; empty where it can, or nobody knows."""
    if free_bytes is None or size_bytes <= free_bytes:
        return ""
    return f"The disk of the models folder has only {fmt.byte_size(free_bytes)} free."


def memory_check(line: InstalledLine) -> str:
    """Predicted beside real memory of the last load, or empty where one of them is not known."""
    if line.real_bytes is None or line.predicted_bytes is None:
        return ""
    off = (line.predicted_bytes - line.real_bytes) / line.real_bytes if line.real_bytes else 0.0
    way = "too high" if off > 0 else "too low"
    judged = "as predicted" if abs(off) < 0.005 else f"prediction {abs(off) * 100:.1f} % {way}"
    predicted, real = fmt.byte_size(line.predicted_bytes), fmt.byte_size(line.real_bytes)
    return f"Last load: predicted {predicted}, really {real} ({judged})"
