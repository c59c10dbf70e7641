"""What a comparison may cost before it is sent, in words with the sums behind. Pure: must not know Qt or prices."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from widgets import format as fmt
from widgets.values import LaneEstimate


def words(lanes: Sequence[LaneEstimate]) -> str:
    """`up to $0.0123 (likely $0.0041)` over all lanes that cost something; empty where none does."""
    if not lanes:
        return ""
    priced = [lane.estimate for lane in lanes if lane.estimate.low_usd is not None]
    if not priced:
        return "cost unknown"
    more = " + unknown" if len(priced) < len(lanes) else ""
    likely = fmt.usd(sum((each.low_usd for each in priced if each.low_usd is not None), Decimal(0)))
    highs = [each.high_usd for each in priced]
    known = [high for high in highs if high is not None]
    if len(known) < len(highs):
        return f"likely {likely}{more}, no upper limit"
    at_most = fmt.usd_at_most(sum(known, Decimal(0)))
    return f"{at_most}{more}" if at_most == likely == "$0" else f"up to {at_most}{more} (likely {likely})"


def tip(lanes: Sequence[LaneEstimate]) -> str:
    """Each lane's sums."""
    return "\n".join(f"{lane.label}: {lane.estimate.basis}" for lane in lanes)
