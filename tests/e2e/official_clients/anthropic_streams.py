"""Streams of the Anthropic messages API as each engine writes them: they differ in where the counts stand.

Written after the engines' sources and shortened.
"""

from dataclasses import dataclass

from tests.harness.both_ways import Metered

API = "anthropic.messages"
UTF8 = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The counts of a stream. start, end: the usage of its first event and of the one that ends it."""

    engine: str
    start: str
    end: str
    metered: Metered

    def events(self) -> tuple[bytes, ...]:
        """Write the whole stream."""
        return (message_start(self.start), *TEXT, message_delta(self.end, "end_turn"), MESSAGE_STOP)


def named(text: str) -> bytes:
    """Make an event with the name that its data begins with."""
    name = text.split('"')[3]
    return f"event: {name}\ndata: {text}\n\n".encode()


def message_start(usage: str) -> bytes:
    """Make the first event."""
    return named(
        '{"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant",'
        '"model":"served/claude","content":[],"stop_reason":null,"stop_sequence":null,'
        f'"usage":{usage}}}}}'
    )


def message_delta(usage: str, stop_reason: str) -> bytes:
    """Make the event that ends the message."""
    return named(
        f'{{"type":"message_delta","delta":{{"stop_reason":"{stop_reason}","stop_sequence":null}},'
        f'"usage":{usage}}}'
    )


TEXT = (
    named('{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'),
    named('{"type": "ping"}'),
    named('{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Grüße"}}'),
    named('{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" 🦙"}}'),
    named('{"type":"content_block_stop","index":0}'),
)
MESSAGE_STOP = named('{"type":"message_stop"}')


def stream_metered(prompt: int, completion: int, **more: object) -> Metered:
    """Make what is expected of a stream."""
    counts = {"prompt": prompt, "completion": completion}
    facts = {"finish_reason": "end_turn", "streamed": True, **counts, **more}
    return Metered(api=API, model="served/claude", **facts)  # type: ignore[arg-type]


STREAMS = (
    Dialect(
        "anthropic",
        '{"input_tokens":2679,"cache_creation_input_tokens":40,"cache_read_input_tokens":1000,'
        '"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":0},'
        '"output_tokens":3,"service_tier":"standard"}',
        '{"input_tokens":2679,"cache_creation_input_tokens":40,"cache_read_input_tokens":1000,'
        '"output_tokens":510,"output_tokens_details":{"thinking_tokens":400}}',
        stream_metered(3719, 510, cached=1000, cache_write=40, reasoning=400),
    ),
    Dialect(
        "vllm",
        '{"input_tokens":1000,"output_tokens":0}',
        '{"input_tokens":40,"cache_read_input_tokens":960,"output_tokens":12}',
        stream_metered(1000, 12, cached=960),
    ),
    Dialect(
        "sglang",
        '{"input_tokens":40,"cache_creation_input_tokens":null,"cache_read_input_tokens":960,'
        '"output_tokens":0}',
        '{"output_tokens":12}',
        stream_metered(1000, 12, cached=960),
    ),
    Dialect(
        "ollama",
        '{"input_tokens":900,"output_tokens":0}',
        '{"input_tokens":612,"output_tokens":44}',
        stream_metered(612, 44),
    ),
    Dialect(
        "llama.cpp",
        '{"cache_read_input_tokens":100,"input_tokens":20,"output_tokens":0}',
        '{"output_tokens":9}',
        stream_metered(120, 9, cached=100),
    ),
    Dialect(
        "dynamo",
        '{"input_tokens":10,"output_tokens":0}',
        '{"input_tokens":14,"output_tokens":5,"cache_read_input_tokens":2}',
        stream_metered(16, 5, cached=2),
    ),
)
