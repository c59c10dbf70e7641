"""Which tensor type llama.cpp gives to each tensor of a Llama in each quant. Must not know files, sizes or downloads.

A quant such as Q4_K_M is a mixture: a type for most matrices, and rules that give some of them more or fewer bits. The
rules are those of llama-quant.cpp (llama.cpp 0c1e57098) for dense Llamas; with them the sizes of published files come
out to the byte. They differ with an importance matrix ("imatrix"), which every repo of the catalogue used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backends.models.gguf_types import TYPES, TensorType
from backends.models.records import Shape

# quant -> (number that stands for it in a file, type of most matrices)
QUANTS: dict[str, tuple[int, str]] = {
    "F32": (0, "F32"),
    "F16": (1, "F16"),
    "Q4_0": (2, "Q4_0"),
    "Q4_1": (3, "Q4_1"),
    "Q8_0": (7, "Q8_0"),
    "Q5_0": (8, "Q5_0"),
    "Q5_1": (9, "Q5_1"),
    "Q2_K": (10, "Q2_K"),
    "Q3_K_S": (11, "Q3_K"),
    "Q3_K_M": (12, "Q3_K"),
    "Q3_K_L": (13, "Q3_K"),
    "Q4_K_S": (14, "Q4_K"),
    "Q4_K_M": (15, "Q4_K"),
    "Q5_K_S": (16, "Q5_K"),
    "Q5_K_M": (17, "Q5_K"),
    "Q6_K": (18, "Q6_K"),
    "IQ2_XXS": (19, "IQ2_XXS"),
    "IQ2_XS": (20, "IQ2_XS"),
    "Q2_K_S": (21, "Q2_K"),
    "IQ3_XS": (22, "IQ3_S"),
    "IQ3_XXS": (23, "IQ3_XXS"),
    "IQ1_S": (24, "IQ1_S"),
    "IQ4_NL": (25, "IQ4_NL"),
    "IQ3_S": (26, "IQ3_S"),
    "IQ3_M": (27, "IQ3_S"),
    "IQ2_S": (28, "IQ2_XS"),
    "IQ2_M": (29, "IQ2_S"),
    "IQ4_XS": (30, "IQ4_XS"),
    "IQ1_M": (31, "IQ1_M"),
    "BF16": (32, "BF16"),
}
QUANT_BY_NUMBER = {number: quant for quant, (number, _) in QUANTS.items()}

_LOWEST = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M")
_OUTPUT_IN_5_BITS = (*_LOWEST, "IQ3_XXS")


def _by_quant(**quants_of_type: tuple[str, ...]) -> dict[str, str]:
    return {quant: type_ for type_, quants in quants_of_type.items() for quant in quants}


# Each names a type and the quants that use it in that place, where it is not the one that most matrices have.
_EMBEDDING = _by_quant(Q2_K=("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), IQ3_S=("IQ2_S", "IQ2_M", "IQ3_XXS"))
_ATTENTION_INPUT = _by_quant(IQ2_S=("IQ3_XXS",), IQ3_XXS=("IQ3_XS",))
_ATTENTION_OUTPUT = _by_quant(
    IQ2_XXS=("IQ1_S", "IQ1_M"),
    IQ3_S=("IQ2_S", "IQ2_M", "IQ3_XXS"),
    Q3_K=("Q2_K",),
    Q4_K=("IQ3_M", "Q3_K_M"),
    Q5_K=("Q3_K_L",),
)
_SHARED_VALUES = _by_quant(
    Q4_K=(*_LOWEST, "Q2_K", "Q2_K_S", "IQ3_XXS", "IQ3_XS", "IQ3_S"),
    Q5_K=("IQ4_NL", "IQ4_XS"),
)
_VALUES = _by_quant(
    Q2_K=("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), IQ3_S=("IQ2_S", "IQ2_M"), Q3_K=("Q2_K",), Q4_K=("IQ3_M",)
)
# Where a row does not divide into blocks of 256: the type with blocks of 32 that stands in for the one of the rule.
_SMALL_BLOCKS = _by_quant(
    IQ4_NL=("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"),
    Q4_0=("Q2_K", "Q3_K"),
    Q5_0=("Q4_K",),
    Q5_1=("Q5_K",),
    Q8_0=("Q6_K",),
)


@dataclass(frozen=True, slots=True)
class _Mixture:
    """What the rules look at: the quant, the model's shape, and whether an importance matrix was used."""

    quant: str
    shape: Shape
    imatrix: bool

    @property
    def most(self) -> str:
        return QUANTS[self.quant][1]

    @property
    def n_layers(self) -> int:
        return self.shape.n_layers

    @property
    def shares_values(self) -> bool:
        """At least four query heads read the same values, so that a few more bits there cost next to nothing."""
        return self.shape.n_heads // self.shape.n_kv_heads >= 4

    @property
    def is_70b(self) -> bool:
        return self.n_layers == 80 and self.shape.n_heads != self.shape.n_kv_heads

    def early(self, layer: int, part: int = 8) -> bool:
        """Among the first eighth (or other part) of the layers."""
        return layer < self.n_layers // part

    def wants_more_bits(self, layer: int) -> bool:
        """The first and the last eighth of the layers, and every third in between."""
        eighth = self.n_layers // 8
        return layer < eighth or layer >= 7 * self.n_layers // 8 or (layer - eighth) % 3 == 2


def matrix_type(
    role: str, row_elements: int, quant: str, shape: Shape, *, layer: int = 0, imatrix: bool = True
) -> TensorType:
    """The type of a matrix by its role (`token_embd`, `attn_v`, ... as in the tensor's name) and layer.

    Raises KeyError where the quant is not one of QUANTS. Norms are F32 in every quant and have no role here.
    """
    mixture = _Mixture(quant, shape, imatrix)
    most = TYPES[mixture.most]
    if not most.quantised:
        return most
    return _fitted(TYPES[_RULES[role](mixture, layer, row_elements)], row_elements)


def _fitted(type_: TensorType, row_elements: int) -> TensorType:
    if row_elements % type_.block_elements:
        type_ = TYPES[_SMALL_BLOCKS.get(type_.name, type_.name)]
    return type_ if row_elements % type_.block_elements == 0 else TYPES["F16"]


def _output(mixture: _Mixture, _layer: int, row_elements: int) -> str:
    if row_elements % TYPES[mixture.most].block_elements:
        return "Q8_0"
    if mixture.quant in _OUTPUT_IN_5_BITS:
        return "Q5_K"
    return "Q8_0" if mixture.most == "Q8_0" else "Q6_K"


def _embedding(mixture: _Mixture, layer: int, row_elements: int) -> str:
    if mixture.shape.tied:
        return _output(mixture, layer, row_elements)
    return _EMBEDDING.get(mixture.quant, mixture.most)


def _attention_input(mixture: _Mixture, _layer: int, _row_elements: int) -> str:
    return _ATTENTION_INPUT.get(mixture.quant, mixture.most)


def _attention_output(mixture: _Mixture, _layer: int, _row_elements: int) -> str:
    return _ATTENTION_OUTPUT.get(mixture.quant, mixture.most)


def _attention_values(mixture: _Mixture, layer: int, _row_elements: int) -> str:
    type_ = _plain_values(mixture, layer)
    if mixture.is_70b and mixture.quant not in _LOWEST and type_ in ("Q3_K", "Q4_K"):
        return "Q5_K"
    return type_


def _plain_values(mixture: _Mixture, layer: int) -> str:
    quant = mixture.quant
    if quant in ("Q4_K_M", "Q5_K_M"):
        return "Q6_K" if mixture.wants_more_bits(layer) else mixture.most
    if quant == "Q4_K_S":
        return "Q5_K" if layer < 4 else "Q4_K"
    if quant == "Q3_K_M":
        return "Q5_K" if layer < 2 else "Q4_K"
    if quant == "Q3_K_L":
        return "Q5_K"
    if mixture.shares_values and quant in _SHARED_VALUES:
        return _SHARED_VALUES[quant]
    if quant == "IQ3_XXS":
        return "IQ3_XXS" if mixture.imatrix else "IQ3_S"
    return _VALUES.get(quant, mixture.most)


def _ffn_down(mixture: _Mixture, layer: int, _row_elements: int) -> str:
    quant = mixture.quant
    if quant in ("Q4_K_M", "Q5_K_M"):
        return "Q6_K" if mixture.wants_more_bits(layer) else mixture.most
    if quant == "Q3_K_M":
        return "Q5_K" if mixture.early(layer, 16) else "Q4_K"
    if quant in ("Q2_K", "Q3_K_L"):
        return "Q3_K" if quant == "Q2_K" else "Q5_K"
    if quant == "IQ3_XXS" and not mixture.imatrix:
        return "Q4_K" if mixture.early(layer) else "Q3_K"
    return _early_ffn_down(mixture) if mixture.early(layer) else mixture.most


def _early_ffn_down(mixture: _Mixture) -> str:
    """The first eighth of the layers, where a quant treats them apart."""
    quant = mixture.quant
    if quant in _LOWEST:
        return "IQ3_S" if quant in ("IQ2_S", "IQ2_M") else "Q2_K"
    if quant in ("Q2_K_S", "IQ3_M"):
        return "Q4_K"
    if quant == "Q4_K_S" or (quant in ("IQ4_NL", "IQ4_XS") and not mixture.imatrix):
        return "Q5_K"
    if quant in ("Q4_0", "Q5_0") and mixture.imatrix:
        return "Q4_1" if quant == "Q4_0" else "Q5_1"
    return mixture.most


def _ffn_input(mixture: _Mixture, layer: int, _row_elements: int) -> str:
    n_layers = mixture.n_layers
    if mixture.quant == "IQ3_XS" and n_layers // 8 <= layer < 7 * n_layers // 8:
        return "IQ3_XXS"
    return mixture.most


_RULES: dict[str, Callable[[_Mixture, int, int], str]] = {
    "token_embd": _embedding,
    "output": _output,
    "attn_q": _attention_input,
    "attn_k": _attention_input,
    "attn_v": _attention_values,
    "attn_output": _attention_output,
    "ffn_gate": _ffn_input,
    "ffn_up": _ffn_input,
    "ffn_down": _ffn_down,
}
