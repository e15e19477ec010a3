"""Answers of LM Studio's own APIs, versions 0 and 1."""

from .case import Case, Metered, Tokens, document, events, named, post
from .traps import Trap

API = "lmstudio.chat"
PATH = "/api/v1/chat"
STATS = (
    '"stats":{"input_tokens":46,"total_output_tokens":86,"reasoning_output_tokens":12,"tokens_per_second":29.7,'
    '"time_to_first_token_seconds":0.2}'
)
RESULT = (
    '{"model_instance_id":"qwen:2","output":[{"type":"message","content":"Hi"}],%s,"response_id":"resp_1"}'
)
COUNTED = Tokens(46, 86, reasoning=12)

CASES = [
    Case(
        name="LM Studio counts in its stats",
        engine="lm studio",
        request=post(PATH, {"model": "qwen", "input": "hi"}),
        answer=document(RESULT % STATS),
        expected=Metered(api=API, model_id="qwen:2", tokens=COUNTED),
        traps=(Trap.ALIAS_AND_ADAPTER,),
    ),
    Case(
        name="a stream of LM Studio's ends with its whole answer",
        engine="lm studio",
        request=post(PATH, {"model": "qwen", "input": "hi", "stream": True}),
        answer=events(
            named("chat.start", '{"type":"chat.start","model_instance_id":"qwen:2"}'),
            named("prompt_processing.progress", '{"type":"prompt_processing.progress","progress":0.5}'),
            named("message.delta", '{"type":"message.delta","content":"\\"stats\\":{\\"input_tokens\\":1}"}'),
            named("chat.end", '{"type":"chat.end","result":%s}' % (RESULT % STATS)),
        ),
        expected=Metered(api=API, model_id="qwen:2", tokens=COUNTED, streamed=True),
        traps=(Trap.TERMINAL_EVENT_ONLY, Trap.EVENT_AND_DATA_LINES),
    ),
    Case(
        name="a stream of LM Studio's fails",
        engine="lm studio",
        request=post(PATH, {"model": "qwen", "input": "hi", "stream": True}),
        answer=events(
            named("chat.start", '{"type":"chat.start","model_instance_id":"qwen:2"}'),
            named("error", '{"type":"error","error":{"type":"internal_error","message":"no"}}'),
        ),
        expected=Metered(api=API, model_id="qwen:2", outcome="upstream_error", streamed=True),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="LM Studio's version 0 answers in the OpenAI shape",
        engine="lm studio",
        request=post("/api/v0/chat/completions", {"model": "granite", "messages": []}),
        answer=document(
            '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"granite","choices":[{"index":0,'
            '"logprobs":null,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}],"usage":'
            '{"prompt_tokens":24,"completion_tokens":53,"total_tokens":77},"stats":{"tokens_per_second":51.4},'
            '"model_info":{"arch":"granite"},"runtime":{"name":"llama.cpp"}}'
        ),
        expected=Metered(api="openai.chat", model_id="granite", tokens=Tokens(24, 53), finish_reason="stop"),
    ),
]
