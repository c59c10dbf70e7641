"""Asks llama.cpp which type each tensor of a model would get in each quant, and prints it as JSON. Must not know ours.

A process of its own, since llama.cpp aborts where something is wrong. Arguments: an F16 file, `true` or `false` for an
importance matrix, and QUANT=NUMBER any number of times. Nothing is quantised: it is llama.cpp's dry run.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from typing import Any

import llama_cpp.llama_cpp as api

LINE = re.compile(r"\] +(\S+) +- \[.*?type = +(\S+), +size = .*?(?:\((\w+)\))?\n")


def types(path: str, number: int, imatrix: bool, lines: list[str]) -> dict[str, str]:
    parameters = api.llama_model_quantize_default_params()
    parameters.ftype = number
    parameters.dry_run = True
    if imatrix:
        entries = _imatrix()
        parameters.imatrix = ctypes.cast(entries, type(parameters.imatrix))
    lines.clear()
    if api.llama_model_quantize(path.encode(), b"/dev/null", ctypes.byref(parameters)) != 0:
        raise SystemExit("".join(lines))
    found = LINE.findall("".join(lines))
    return {name: (new or old).upper() for name, old, new in found}


def _imatrix() -> Any:
    """One entry is enough for llama.cpp to take it that there is a matrix."""
    value = (ctypes.c_float * 1)(1.0)
    return (api.llama_model_imatrix_data * 2)(
        api.llama_model_imatrix_data(b"none", value, 1), api.llama_model_imatrix_data(None, None, 0)
    )


def main() -> None:
    lines: list[str] = []

    def log(_level: int, text: bytes, _data: object) -> None:
        lines.append(text.decode(errors="replace"))

    callback = api.llama_log_callback(log)
    api.llama_log_set(callback, None)
    api.llama_backend_init()
    path, imatrix, *quants = sys.argv[1:]
    numbers = {name: int(number) for name, _, number in (quant.partition("=") for quant in quants)}
    print(json.dumps({name: types(path, number, imatrix == "true", lines) for name, number in numbers.items()}))


if __name__ == "__main__":
    main()
