"""What must not be imported before the first paint: each of these costs tens of milliseconds or more."""

HEAVY = frozenset(
    {"openai", "httpx2", "numpy", "llama_cpp", "xllamacpp", "genai_prices", "keyring", "qtawesome", "pyqtgraph"}
)
