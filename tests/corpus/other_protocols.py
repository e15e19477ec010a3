"""What the same servers speak besides HTTP requests and answers, and what is not inference."""

from .case import Case, Free, Refused, Request, document
from .traps import Trap

UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)

CASES = [
    *(
        Case(
            name=f"a WebSocket at {path} is refused",
            engine=engine,
            request=Request(path, method="GET", headers=UPGRADE),
            expected=Refused(501),
            traps=(Trap.SOCKETS_CARRY_MANY_USAGES, Trap.OTHER_PROTOCOLS),
        )
        for engine, path in (("openai", "/v1/realtime?model=gpt-realtime"), ("openai", "/v1/responses"))
    ),
    Case(
        name="a call of gRPC is refused",
        engine="triton",
        request=Request(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            b"\x00\x00\x00\x00\x02\x0a\x00",
            content_type="application/grpc",
        ),
        expected=Refused(404),
        traps=(Trap.OTHER_PROTOCOLS,),
    ),
    Case(
        name="a list of models is free",
        engine="vllm",
        request=Request("/v1/models", method="GET"),
        answer=document('{"object":"list","data":[{"id":"adapter","parent":"base"}]}'),
        expected=Free(),
        traps=(Trap.ALIAS_AND_ADAPTER,),
    ),
]
