"""llama.cpp's own server with the tiny model, as a program for the engine's environment.

Usage: python -m tests.engine.llama_server FOLDER MODEL_NAME POOLING. It writes the model into FOLDER, prints
the server's URL and serves until its standard input ends: so it also ends with the process that started it.
POOLING is "mean", for completions and embeddings, or "rank", for reranking.
"""

import os
import sys
from pathlib import Path

import xllamacpp

from tests.engine.tiny_model import CONTEXT_TOKENS, write_model

# Enough for a request for several answers at once.
_SLOTS = 4


def main(folder: Path, model_name: str, pooling: str) -> None:
    path = folder / "tiny.gguf"
    write_model(path)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {model_name}
    parameters.port = 0
    parameters.n_parallel = _SLOTS
    parameters.n_ctx = _SLOTS * CONTEXT_TOKENS
    # More threads only wait for each other on a model of this size.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    # As `--embeddings --pooling POOLING`; completions are served all the same.
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type[f"LLAMA_POOLING_TYPE_{pooling.upper()}"]
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    # Nothing is worth keeping, and the server's own shutdown can hang if it was never asked anything.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
