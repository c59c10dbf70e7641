"""Trains the demo model from the corpus and writes the GGUF: the one command of this folder.

It must not know how answers are judged; evaluate.py asks the finished file.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import bpe
import corpus
from augment import expand, proper_case
from batches import Batch, Conversations, batches
from chat import SPECIALS
from export_gguf import export
from model import DemoLlama, Shape
from system_prompts import TRAINED

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".cache" / "demo_model"
SHIPPED = ROOT / "resources" / "demo" / "nearfar-demo.gguf"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome, besides the corpus."""

    seed: int = 2026
    vocab: int = 3072
    steps: int = 1900
    warmup: int = 60
    cooldown: float = 0.55
    matrix_rate: float = 3e-3
    other_rate: float = 3e-3
    decay: float = 0.05
    clip: float = 1.0


def vocabulary_texts(texts: corpus.Corpus, rng: random.Random) -> list[str]:
    """What the vocabulary is learned from: each answer once, a few forms of each question."""
    forbidden = texts.forbidden()
    found = [entry.answer for entry in texts.every_entry()] + list(TRAINED)
    for entry in texts.every_entry():
        for pattern in entry.patterns():
            forms = {expand(pattern, rng) for _ in range(6)}
            forms = {form for form in forms if corpus.normal(form) not in forbidden}
            found += sorted(forms) + [proper_case(form) + "?" for form in sorted(forms)]
    return found


def optimizers(model: DemoLlama, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for everything else."""
    matrices = [w for w in model.blocks.parameters() if w.dim() == 2]
    chosen = {id(w) for w in matrices}
    others = [w for w in model.parameters() if id(w) not in chosen]
    return [
        torch.optim.Muon(
            matrices,
            lr=recipe.matrix_rate,
            weight_decay=recipe.decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            others, lr=recipe.other_rate, betas=(0.9, 0.95), weight_decay=recipe.decay
        ),
    ]


def rate(step: int, recipe: Recipe) -> float:
    """Rise, stay, and fall to nearly nothing."""
    rise = min(1.0, (step + 1) / recipe.warmup)
    fall = (recipe.steps - step) / (recipe.steps * recipe.cooldown)
    return max(0.01, min(rise, fall))


def loss_of(model: DemoLlama, batch: Batch) -> Tensor:
    """Cross-entropy over the answers, weighted as the batch says."""
    wanted = batch.weights > 0
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.logits_at(batch.inputs, wanted)
    losses = functional.cross_entropy(logits.float(), batch.targets[wanted], reduction="none")
    weights = batch.weights[wanted]
    return (losses * weights).sum() / weights.sum()


def learn(model: DemoLlama, source: Conversations, recipe: Recipe) -> None:
    """Run all steps and say now and then how it goes."""
    wall, cpu, recent = time.monotonic(), time.process_time(), 0.0
    optims = optimizers(model, recipe)
    starts = [group["lr"] for optim in optims for group in optim.param_groups]
    for step, batch in zip(range(recipe.steps), batches(source), strict=False):
        groups = [group for optim in optims for group in optim.param_groups]
        for group, start in zip(groups, starts, strict=True):
            group["lr"] = start * rate(step, recipe)
        loss = loss_of(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        for optim in optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        recent = 0.98 * recent + 0.02 * loss.item() if step else loss.item()
        if (step + 1) % 50 == 0:
            used = f"wall {time.monotonic() - wall:.0f} s, cpu {time.process_time() - cpu:.0f} s"
            print(f"step {step + 1}/{recipe.steps}  loss {recent:.4f}  {used}", flush=True)


def train(recipe: Recipe, output: Path) -> None:
    """From the corpus to the shipped file."""
    torch.manual_seed(recipe.seed)
    rng = random.Random(recipe.seed)
    texts = corpus.load()
    words = bpe.train(vocabulary_texts(texts, rng), recipe.vocab, SPECIALS)
    shape = Shape(vocab=words.size())
    model = DemoLlama(shape)
    print(f"{len(texts.entries)} entries, {model.parameter_count():,} parameters, {recipe}")
    learn(model, Conversations(texts, words, shape.context, rng), recipe)
    WORK.mkdir(parents=True, exist_ok=True)
    words.save(WORK / "tokenizer.json")
    torch.save({"shape": asdict(shape), "weights": model.state_dict()}, WORK / "weights.pt")
    export(model, words, output)
    print(f"{output}: {output.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--output", type=Path, default=SHIPPED)
    chosen = parser.parse_args()
    train(Recipe(seed=chosen.seed, steps=chosen.steps), chosen.output)


if __name__ == "__main__":
    main()
