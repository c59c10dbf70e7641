"""What other programs took of the processor while a run decoded, in words. Pure: must not know how it is counted."""

from __future__ import annotations

from backends.records import OtherWork

MACHINE_BUSY = "machine_busy"  # code of the notice; it is told again in the result, where it lasts
NEARLY_ALWAYS = 0.95


def busy_words(work: OtherWork | None) -> str:
    """One sentence to stand beside tok/s; empty where the machine was quiet enough, or nobody looked."""
    if work is None or not work.busy or work.busy_cores is None:
        return ""
    used = f"{min(work.busy_cores, work.cores):.1f} of {work.cores} core{'s' if work.cores != 1 else ''}"
    if work.busy_share >= NEARLY_ALWAYS:
        when, then = "", ""
    else:
        when, then = f" for {work.busy_share:.0%} of the time", "then "
    return (
        f"This computer was busy with other work{when}: other programs {then}used {used}, "
        "so tok/s is lower than this model can do."
    )
