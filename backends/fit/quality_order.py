"""Which of two quants of possibly different models answers better. A rough guide: must not pose as a measurement.

Within one model the order is that of the mean KL divergence from the full weights (llama.cpp's table for Llama 3 8B).
Between models it is this:

- A bigger model goes before a smaller one, whatever their quants. On the same text Llama 3 70B at IQ3_XXS has a
  perplexity of 3.97, at Q4_K_M 2.97; Llama 3 8B with full weights 6.23, at Q4_K_M 6.38. Sizes differ by far more than
  quants do.
- But not below Q3. There a model says something else: at Q2_K perplexity rises by 39 % (8B) and 69 % (70B), and without
  an importance matrix three of ten next tokens change. By perplexity alone 70B at Q2_K (4.78) would still go before 8B;
  that measures how text is continued, not how instructions are followed, so such a quant goes behind the next smaller
  model's. Models under 30B lose more and have less of a lead over the next smaller one, for which no figures are at
  hand: there the weakest of Q3 (Q3_K_S, IQ3_XXS: perplexity up by 20 %) goes behind as well.
- At equal size and loss the newer generation goes first: 3.3 before 3.1 before 3.
- Quants that lose nothing that anybody could tell (Q8_0 and above) count as equal, and the smallest of them goes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from backends.models.quality import quality_of
from backends.models.records import CatalogueModel, CatalogueQuant
from backends.models.shapes import LLAMA_8B

NO_LOSS_KLD = 0.002  # Q8_0: 0.0014, and 97.7 % of next tokens stay; the next, Q6_K: 0.0055 and 96.0 %
BELOW_Q3_KLD = 0.25  # Q3_K_S, the worst of Q3: 0.20; IQ2_M, the best below it: 0.33
WEAK_Q3_KLD = 0.15  # IQ3_XS: 0.14; IQ3_XXS: 0.18
LARGE_PARAMETERS = 30e9
SAME_SIZE = 1.15
# Where no quant of that name was measured: the KLD of 8B quants of as many bits per weight. (bits from, KLD)
KLD_BY_BITS = ((8.0, 0.0014), (6.2, 0.0055), (5.3, 0.012), (4.3, 0.035), (3.9, 0.085), (3.2, 0.20))
KLD_OF_FEWER_BITS = 0.40

_GENERATION = re.compile(r"llama-?(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Standing:
    """A quant's place; the greater `place`, the worse. `demoted`: it lost so much that smaller models go first."""

    place: tuple[float, ...]
    demoted: bool = False

    def better_than(self, other: Standing) -> bool:
        """By quality alone; of equals in that the smaller one merely stands first."""
        return self.place[:-1] < other.place[:-1]


class QualityOrder:
    """The order among the quants of these models."""

    def __init__(self, models: Iterable[CatalogueModel]) -> None:
        self._tiers = _tiers({model.parameters for model in models if model.quants})

    def standing(self, model: CatalogueModel, quant: CatalogueQuant) -> Standing:
        loss = _loss(model, quant)
        demoted = loss > (BELOW_Q3_KLD if model.parameters >= LARGE_PARAMETERS else WEAK_Q3_KLD)
        tier = self._tiers[model.parameters] + (1 if demoted else 0)
        told = loss if loss > NO_LOSS_KLD else 0.0
        return Standing((tier, demoted, told, -_generation(model.id), quant.size_bytes), demoted)


def _tiers(parameters: Iterable[int]) -> dict[int, int]:
    """The biggest model's tier is 0; models within 15 % of each other share one."""
    tiers: dict[int, int] = {}
    tier, top = -1, 0
    for each in sorted(parameters, reverse=True):
        if tier < 0 or top > each * SAME_SIZE:
            tier, top = tier + 1, each
        tiers[each] = tier
    return tiers


def _loss(model: CatalogueModel, quant: CatalogueQuant) -> float:
    for quality in (quant.quality, quality_of(quant.quant, LLAMA_8B, imatrix=quant.imatrix)):
        if quality is not None and quality.kld is not None:
            return quality.kld
    bits = quant.size_bytes * 8 / max(1, model.parameters)
    return next((kld for bits_from, kld in KLD_BY_BITS if bits >= bits_from), KLD_OF_FEWER_BITS)


def _generation(model_id: str) -> float:
    found = _GENERATION.search(model_id.lower())
    return float(found[1]) if found else 0.0
