"""Opens each file named on the command line with llama.cpp, a context included. Must not judge what it says."""

from __future__ import annotations

import sys

import llama_cpp.llama_cpp as api


def quiet(_level: int, _text: bytes, _data: object) -> None:
    """llama.cpp's own words do not matter here."""


def main() -> None:
    callback = api.llama_log_callback(quiet)
    api.llama_log_set(callback, None)
    api.llama_backend_init()
    for path in sys.argv[1:]:
        sys.stdout.write(f"{path}\n")
        sys.stdout.flush()
        model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        if not model:
            continue
        parameters = api.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch, parameters.n_ubatch, parameters.n_threads = 256, 32, 32, 1
        context = api.llama_init_from_model(model, parameters)
        if context:
            api.llama_free(context)
        api.llama_model_free(model)


if __name__ == "__main__":
    main()
