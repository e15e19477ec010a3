"""A model of the llama architecture with seeded random weights, 140 kB as a GGUF file.

It runs in the engine's environment, which has gguf and numpy.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

CONTEXT_TOKENS = 16384
_EMBEDDING = 32
_FEED_FORWARD = 64
_HEADS = 2
_BLOCK = "blk.0"

_SPECIAL = ("<unk>", "<s>", "</s>")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
# A token for every printable character; SentencePiece writes the space as a low block.
_CHARACTERS = ("\u2581", *(chr(code) for code in range(0x21, 0x7F)))
_TOKENS = (*_SPECIAL, *_BYTES, *_CHARACTERS)
_TYPES = (
    TokenType.UNKNOWN,
    *[TokenType.CONTROL] * 2,
    *[TokenType.BYTE] * len(_BYTES),
    *[TokenType.NORMAL] * len(_CHARACTERS),
)
_CHAT_TEMPLATE = (
    "{% for message in messages %}<s>{{ message.role }}: {{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)


def write_model(path: Path) -> None:
    """Write the model. What it says is noise, but always the same noise, and only of printable characters."""
    writer = GGUFWriter(path, "llama")
    _add_shape(writer)
    _add_tokenizer(writer)
    for name, weights in _weights().items():
        writer.add_tensor(name, weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: GGUFWriter) -> None:
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(_EMBEDDING)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_block_count(1)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_EMBEDDING // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(_TOKENS))


def _add_tokenizer(writer: GGUFWriter) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(_TOKENS)
    writer.add_token_types(_TYPES)
    writer.add_token_scores([0.0] * len(_TOKENS))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(_CHAT_TEMPLATE)


def _weights() -> dict[str, np.ndarray]:
    """Random weights by tensor name, those of linear layers as (outputs, inputs)."""
    random = np.random.default_rng(seed=20)

    def linear(outputs: int, inputs: int) -> np.ndarray:
        return random.standard_normal((outputs, inputs)) / np.sqrt(inputs)

    head = random.standard_normal((len(_TOKENS), _EMBEDDING))
    # Zero for what is no character: some character is always likelier, so that only limits end an answer.
    head[: -len(_CHARACTERS)] = 0
    square = ("attn_q", "attn_k", "attn_v", "attn_output")
    return {
        "token_embd.weight": random.standard_normal((len(_TOKENS), _EMBEDDING)),
        "output.weight": head,
        "output_norm.weight": np.ones(_EMBEDDING),
        f"{_BLOCK}.attn_norm.weight": np.ones(_EMBEDDING),
        f"{_BLOCK}.ffn_norm.weight": np.ones(_EMBEDDING),
        **{f"{_BLOCK}.{name}.weight": linear(_EMBEDDING, _EMBEDDING) for name in square},
        f"{_BLOCK}.ffn_gate.weight": linear(_FEED_FORWARD, _EMBEDDING),
        f"{_BLOCK}.ffn_up.weight": linear(_FEED_FORWARD, _EMBEDDING),
        f"{_BLOCK}.ffn_down.weight": linear(_EMBEDDING, _FEED_FORWARD),
    }
