"""Sets the speed model against published decode rates and writes the table of errors. Must not measure anything itself.

The rates lie in tests/backends/fit/decode_rates.json; a test holds the model to its median error. Running this script
again after a change of constants shows what the change did to every single row.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backends.fit.speed import CLASSES
from tests.backends.fit.rates import Row, rows

PAGE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "speed-model.md"

HEAD = """# Expected decode speed: the model beside published runs

    .venv/bin/python benchmarks/speed_model.py

{today}. Seconds per token = bytes touched / (efficiency × bandwidth) + constant. Bytes touched are the weights that a
token reads (all but the input embedding) and the KV cache as far as it is filled. The runs are other people's, in
llama.cpp and Ollama, 2024 to 2025; bandwidths are the makers' figures.

Over the {n} single-GPU runs the median absolute error is **{median:.1%}** (promised: at most 20 %); {inside:.0%} lie
within the range that is shown.

## Classes

| class | told by | efficiency | constant | range | runs | median error | bias | within the range |
|---|---|--:|--:|--:|--:|--:|--:|--:|
"""

TOLD_BY = {
    "gddr": "every card that is none of the others",
    "hbm": "name (A100, H100, ...), or 1,900 GB/s and more",
    "unified": "memory shared by CPU and GPU",
    "other": "AMD or Intel card with its own memory",
    "cpu_measured": "CPU, bandwidth measured by us",
    "cpu_stated": "CPU, bandwidth stated",
}

WHY = """
Where the constants come from:

- **gddr, unified**: one efficiency and one constant for both. The best fit of the GDDR rows alone is 0.83 and 1.5 ms,
  which follows the builds of May 2024; rows of 2025 imply 0.5 to 1 ms. 0.80 and 1 ms lies between and is as good.
- **hbm**: all nine rows are of May 2024, and fit 0.51 and 2.5 ms. With 0.55 and 1 ms every one of them would be
  promised too much, by a fifth at the median. As GDDR cards lost 1 to 1.5 ms of constant from 2024 to 2025, 2 ms
  stands here until somebody measures an HBM card on a newer build.
- **other**: one row, so the range is wider.
- **cpu**: the rows name no bandwidth and are only listed. A stated bandwidth is never reached, a measured one nearly:
  the shares are assumptions between what our own machine reached (0.95 of the measured one, idle) and weaker ones, and
  the range is wide.
- **cpu, by core**: unpacking takes time. `benchmarks/cpu_quants.py --threads 2` on two cores of an AMD EPYC with
  AVX-512, 0.6 billion random weights, 10^9 bytes of file per second and core: Q8_0 19, Q6_K 19, Q5_K_M 16, Q4_K_M 20,
  IQ4_XS 13, Q3_K_M 13, IQ3_S 4. The model takes 20, 13 (IQ4, Q3, Q2) and 4 (IQ3 and below) as the most that a core
  can do, so that IQ3 quants, which look small, are not taken for fast where there is no GPU.
- Older Macs (M1 Max, M2 Ultra in 2024) are the largest misses: computing, not reading, held them up.
- Layers on several GPUs work in turn. Two and four cards are as fast as one, as their rows show.

Own runs replace all of this as soon as there are any.

## Every run

| device | GB/s | class | model | quant | measured tok/s | expected tok/s | error | in range | source |
|---|--:|---|---|---|--:|--:|--:|---|---|
"""


def page(found: Sequence[Row]) -> str:
    """The whole page as Markdown."""
    single = [row for row in found if row.n_gpu == 1 and row.error is not None]
    head = HEAD.format(
        today=datetime.now(UTC).date().isoformat(), n=len(single), median=_median(single), inside=_inside(single)
    )
    classes = "\n".join(_class_line(name, [row for row in single if row.class_name == name]) for name in CLASSES)
    return head + classes + "\n" + WHY + "\n".join(_line(row) for row in found) + "\n"


def _median(some: Sequence[Row]) -> float:
    return statistics.median(abs(row.error or 0) for row in some)


def _inside(some: Sequence[Row]) -> float:
    return sum(row.within_range or False for row in some) / len(some)


def _class_line(name: str, some: Sequence[Row]) -> str:
    each = next(value for value in CLASSES.values() if value.name == name)
    start = f"| {name} | {TOLD_BY[name]} | {each.efficiency:.2f} | {each.constant_ms:g} ms | ±{each.spread:.0%} |"
    if not some:
        return f"{start} 0 | n/a | n/a | n/a |"
    bias = statistics.median(row.error or 0 for row in some)
    return f"{start} {len(some)} | {_median(some):.1%} | {bias:+.1%} | {_inside(some):.0%} |"


def _line(row: Row) -> str:
    device = row.device if row.n_gpu == 1 else f"{row.n_gpu} × {row.device}"
    guess = inside = error = "n/a"
    if row.expected_tok_s is not None and row.error is not None:
        guess, error, inside = f"{row.expected_tok_s:.1f}", f"{row.error:+.0%}", "yes" if row.within_range else "no"
    bandwidth = row.bandwidth_gb_s or "n/a"
    cells = (device, bandwidth, row.class_name, row.model, row.quant, f"{row.tok_s:.1f}", guess, error, inside)
    return f"| {' | '.join(map(str, cells))} | {row.source} |"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=PAGE, help="where to write the page (default: %(default)s)")
    out: Path = parser.parse_args(argv).out
    found = rows()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(found), encoding="utf-8")
    single = [row for row in found if row.n_gpu == 1 and row.error is not None]
    print(f"{len(single)} single-GPU runs, median absolute error {_median(single):.1%}; written to {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
