"""What a question may cost at each target that is paid, before it is sent. Must not paint, print or import Qt."""

from __future__ import annotations

from collections.abc import Iterable

from backends.cloud.providers import model_of
from backends.errors import NearfarError
from backends.records import Prompt, Sampling
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets.values import LaneEstimate


def may_cost(target: str) -> bool:
    """Local and practice targets never do, so that no table of prices is read for them."""
    return not target.startswith("local:") and target != "practice"


def estimates(bench: Workbench, targets: Iterable[str], prompt: Prompt, sampling: Sampling) -> list[LaneEstimate]:
    """Of the targets that are paid, in their order. Reading the table takes about a second: call it in a thread."""
    found = []
    for named in targets:
        try:
            target = parse_target(named)
            endpoint = bench.access.endpoint(target)
        except NearfarError:
            continue  # whoever asks it says so
        if endpoint is None:
            continue
        model = model_of(target)
        estimate = bench.spending.prices.estimate(endpoint, model, prompt, sampling)
        if estimate.low_usd is not None or not endpoint.charges_nobody:
            found.append(LaneEstimate(f"{endpoint.label} {model}", estimate))
    return found
