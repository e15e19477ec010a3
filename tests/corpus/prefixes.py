"""Known APIs below the prefixes of servers and gateways, and adapters that a request chooses."""

from .case import (
    DONE,
    Case,
    Changed,
    Free,
    Metered,
    Refused,
    Request,
    Resource,
    Tokens,
    data,
    document,
    events,
    post,
)
from .traps import Trap

CHAT = {"model": "m", "messages": []}
STREAMED = {**CHAT, "stream": True}
CHAT_ANSWER = document(
    '{"id":"chatcmpl-7","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":'
    '"assistant","content":"OK"},"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":7,'
    '"total_tokens":38}}'
)
CHAT_EVENT = Metered(api="openai.chat", model_id="m", tokens=Tokens(31, 7), finish_reason="stop")

CASES = [
    *(
        Case(
            name=f"a chat at {path}",
            engine=engine,
            request=post(path, CHAT),
            answer=CHAT_ANSWER,
            expected=CHAT_EVENT,
        )
        for engine, path in (
            ("kserve", "/openai/v1/chat/completions"),
            ("docker", "/engines/v1/chat/completions"),
            ("docker", "/engines/llama.cpp/v1/chat/completions"),
            ("azure", "/openai/deployments/m/chat/completions?api-version=2026-10-21"),
            ("localai", "/chat/completions"),
        )
    ),
    Case(
        name="a stream below a prefix is asked for usage",
        engine="kserve",
        request=post(
            "/openai/v1/chat/completions", STREAMED, {**STREAMED, "stream_options": {"include_usage": True}}
        ),
        answer=events(
            data('{"id":"i","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
            Changed(
                data('{"id":"i","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}')
            ),
            DONE,
        ),
        expected=Metered(
            api="openai.chat", model_id="m", tokens=Tokens(3, 4), finish_reason="stop", streamed=True
        ),
    ),
    Case(
        name="Xinference speaks the Anthropic API below a prefix",
        engine="xinference",
        request=post("/anthropic/v1/messages", {"model": "m", "max_tokens": 9, "messages": []}),
        answer=document(
            '{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn",'
            '"usage":{"input_tokens":12,"output_tokens":5}}'
        ),
        expected=Metered(
            api="anthropic.messages", model_id="m", tokens=Tokens(12, 5), finish_reason="end_turn"
        ),
    ),
    Case(
        name="counting below a prefix is free",
        engine="xinference",
        request=post("/anthropic/v1/messages/count_tokens", {"model": "m", "messages": []}),
        answer=document('{"input_tokens":12}'),
        expected=Free(),
        traps=(Trap.COUNTS_THAT_ARE_NO_INFERENCE,),
    ),
    Case(
        name="the deployment in Azure's path must be served, whatever the body says",
        engine="azure",
        request=post("/openai/deployments/dear/chat/completions", {"model": "m", "messages": []}),
        resource=Resource(models=("m",)),
        expected=Refused(404),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
    Case(
        name="a response that was billed before may be deleted",
        engine="openai",
        request=Request("/v1/responses/resp_1", method="DELETE"),
        answer=document('{"id":"resp_1","object":"response","deleted":true}'),
        expected=Free(),
    ),
    Case(
        name="a response may be cancelled",
        engine="openai",
        request=Request("/v1/responses/resp_1/cancel"),
        answer=document('{"id":"resp_1","object":"response","status":"cancelled"}'),
        expected=Free(),
    ),
    Case(
        name="a conversation is compacted at the price of a response",
        engine="openai",
        request=post("/v1/responses/compact", {"model": "m", "input": []}),
        answer=document(
            '{"id":"resp_1","object":"response.compaction","created_at":1,"output":[{"type":"compaction"}],"usage":'
            '{"input_tokens":139,"input_tokens_details":{"cached_tokens":0},"output_tokens":438,'
            '"output_tokens_details":{"reasoning_tokens":64},"total_tokens":577}}'
        ),
        resource=Resource(models=("m",)),
        expected=Metered(
            api="openai.responses", model_id="m", tokens=Tokens(139, 438, cached=0, reasoning=64)
        ),
        traps=(Trap.NO_NAME,),
    ),
    *(
        Case(
            name=f"{engine} completes on /completions in the OpenAI shape",
            engine=engine,
            request=post("/completions", {"model": "m", "prompt": "x"}),
            answer=document(
                '{"id":"cmpl-1","object":"text_completion","model":"m","choices":[{"index":0,"text":"a",'
                '"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":7,"total_tokens":38}}'
            ),
            expected=Metered(
                api="openai.completions", model_id="m", tokens=Tokens(31, 7), finish_reason="stop"
            ),
            traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
        )
        for engine in ("localai", "litellm")
    ),
    Case(
        name="vLLM scores by generating",
        engine="vllm",
        request=post(
            "/generative_scoring", {"model": "m", "query": "a", "items": ["b"], "label_token_ids": [1]}
        ),
        answer=document(
            '{"id":"s","object":"list","model":"m","data":[{"index":0,"score":0.5}],"usage":{"prompt_tokens":9,'
            '"total_tokens":10,"completion_tokens":1}}'
        ),
        expected=Metered(api="vllm.scoring", model_id="m", tokens=Tokens(9, 1)),
    ),
    Case(
        name="an engine that refuses to be asked is not asked, and counts unasked",
        engine="mistral",
        request=post("/v1/chat/completions", STREAMED),
        answer=events(
            data(
                '{"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}'
            ),
            data(
                '{"id":"i","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":'
                '{"prompt_tokens":31,"completion_tokens":7,"total_tokens":38}}'
            ),
            DONE,
        ),
        resource=Resource(usage="none"),
        expected=Metered(
            api="openai.chat", model_id="m", tokens=Tokens(31, 7), finish_reason="stop", streamed=True
        ),
        traps=(Trap.USAGE_UNASKED,),
    ),
    Case(
        name="an adapter would be billed as the model below it",
        engine="sglang",
        request=post("/v1/chat/completions", {**CHAT, "lora_path": "mine"}),
        resource=Resource(engine="sglang", models=("m",)),
        expected=Refused(400),
        traps=(Trap.ALIAS_AND_ADAPTER,),
    ),
    Case(
        name="an adapter that is declared is billed under its own name",
        engine="sglang",
        request=post("/v1/chat/completions", {**CHAT, "lora_path": "mine"}),
        answer=CHAT_ANSWER,
        resource=Resource(engine="sglang", models=("m", "mine")),
        expected=Metered(api="openai.chat", model_id="mine", tokens=Tokens(31, 7), finish_reason="stop"),
        traps=(Trap.ALIAS_AND_ADAPTER,),
    ),
    Case(
        name="a name that is repeated although none was sent stands for nothing",
        engine="sglang",
        request=post("/v1/chat/completions", {"messages": []}),
        answer=document(
            '{"id":"i","model":"default","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],'
            '"usage":{"prompt_tokens":3,"completion_tokens":4}}'
        ),
        resource=Resource(engine="sglang", models=("m",)),
        expected=Metered(api="openai.chat", model_id="m", tokens=Tokens(3, 4), finish_reason="stop"),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
    Case(
        name="Ollama repeats the client's spelling, and is billed under the name that is declared",
        engine="ollama",
        request=post("/api/chat", {"model": "LLAMA3.2:Latest", "messages": [], "stream": False}),
        answer=document(
            '{"model":"LLAMA3.2:Latest","message":{"role":"assistant","content":"hi"},"done":true,"done_reason":'
            '"stop","prompt_eval_count":31,"eval_count":7}'
        ),
        resource=Resource(engine="ollama", models=("llama3.2",)),
        expected=Metered(api="ollama.chat", model_id="llama3.2", tokens=Tokens(31, 7), finish_reason="stop"),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
    Case(
        name="Ollama repeats the client's spelling, which is marked",
        engine="ollama",
        request=post("/api/chat", {"model": "LLAMA3.2:Latest", "messages": [], "stream": False}),
        answer=document(
            '{"model":"LLAMA3.2:Latest","message":{"role":"assistant","content":"hi"},"done":true,"done_reason":'
            '"stop","prompt_eval_count":31,"eval_count":7}'
        ),
        resource=Resource(engine="ollama"),
        expected=Metered(
            api="ollama.chat",
            model_id="LLAMA3.2:Latest",
            tokens=Tokens(31, 7),
            finish_reason="stop",
            model_untrusted=True,
        ),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
]
