"""What to do about what an engine does not report: the flags of each engine, by its name."""

from phoebe_addon.apis.engines import Engine

ENGINE_FAULT = "This is a fault of the engine: update it."

_CACHED_FLAGS = {
    "vLLM": "Start vLLM with --enable-prompt-tokens-details.",
    "SGLang": "Start SGLang with --enable-cache-report.",
    "Dynamo": "Start its workers so that they report them: vLLM's with --enable-prompt-tokens-details, "
    "SGLang's with --enable-cache-report.",
    "llama.cpp": "Use a build of 2026 or newer.",
}
_CACHED_NEVER = {
    "Ollama": "Ollama up to 0.33 does not report them, newer versions do.",
    "TGI": "TGI never reports them.",
    "Triton": "Triton never reports them.",
}
_STREAM_FLAGS = {
    "vLLM": "Update vLLM, or start it with --enable-force-include-usage.",
    "SGLang": "Update SGLang, or start it with --stream-response-default-include-usage.",
}


def can_report_cached(engine: Engine) -> bool:
    """Whether something can be done about cached tokens that are not reported."""
    return engine.name not in _CACHED_NEVER


def report_cached(engine: Engine) -> str:
    """Say what makes an engine report cached tokens."""
    flag = _CACHED_FLAGS.get(engine.name) or _CACHED_NEVER.get(engine.name)
    return flag or (
        "Make the engine report them (vLLM: --enable-prompt-tokens-details, SGLang: --enable-cache-report), "
        "or turn its prefix caching off."
    )


def report_in_streams(engine: Engine, *, continuous: bool) -> str:
    """Say what makes an engine report usage in streams."""
    if continuous and not engine.name:
        return "It may not know `continuous_usage_stats`: check it with --usage final."
    return _STREAM_FLAGS.get(engine.name, "Use an engine that knows `stream_options.include_usage`.")


def declaration(engine: Engine, model: str) -> str:
    """Write what the resource map should say of an engine."""
    kind = f"engine: {engine.name}, " if engine.name else ""
    return f'{kind}models: ["{model}"]'
