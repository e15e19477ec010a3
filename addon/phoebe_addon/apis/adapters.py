"""How requests choose an adapter (LoRA) beside the model's name: the answer still names the model alone.

Where an adapter is chosen by the model's name, it is a model like any other, and nothing stands here.
Sources: SGLang `srt/entrypoints/openai/protocol.py`, `srt/managers/io_struct.py`; TGI `router/src/lib.rs`;
LoRAX `router/src/lib.rs`; llama.cpp `tools/server`; TensorRT-LLM `serve/openai_protocol.py`, its Triton
backend `docs/lora.md`; Xinference `model/llm/vllm/core.py`; mlx-lm `server.py`.
"""

from phoebe_addon.apis.family import Path, at

ADAPTER_PLACES: tuple[Path, ...] = (
    at("lora_path"),  # SGLang: a name, or one for each prompt
    at("parameters.adapter_id"),  # TGI, LoRAX
    at("parameters.merged_adapters"),  # LoRAX
    at("adapter_id"),  # LoRAX in the shapes of OpenAI
    at("merged_adapters"),
    at("lora"),  # llama.cpp: ids and scales
    at("lora_request"),  # TensorRT-LLM
    at("lora_task_id"),  # TensorRT-LLM behind Triton
    at("lora_weights"),
    at("parameters.lora_task_id"),
    at("parameters.lora_weights"),
    at("lora_name"),  # Xinference, LMDeploy
    at("adapters"),  # mlx-lm: a path
)
"""Where the choice stands. Null, empty texts, lists and objects choose none."""
