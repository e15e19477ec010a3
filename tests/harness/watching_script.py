"""For `mitmdump -s`: sets options and adds an addon when it is told to, and counts what took the plain lane.

It listens on the port of loopback that WATCHING_PORT names. Each line is a JSON object: `options` to set;
`hooks` of the one addon that watches, with what each does; `reset`: all is as before. It answers with a line:
`in_one_go`, how many messages have taken the plain lane, and `seen`, what the addon has seen since then.
"""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

from mitmproxy import ctx, http

from phoebe_addon.proxy.plain_lane import PlainLaneStream

in_one_go = PlainLaneStream._in_one_go
taken = 0


def counting(stream: PlainLaneStream, *arguments: Any) -> Any:
    """Do as the lane does, and count."""
    global taken  # noqa: PLW0603
    taken += 1
    return in_one_go(stream, *arguments)


PlainLaneStream._in_one_go = counting  # type: ignore[method-assign,assignment]


class Watching:
    """An addon with the hooks that it is given. seen: hooks, with the bodies there were."""

    def __init__(self, hooks: dict[str, str]) -> None:
        self.seen: list[tuple[str, str | None, str | None]] = []
        for hook, does in hooks.items():
            setattr(self, hook, getattr(self, f"_{does}")(hook))

    def _look(self, hook: str) -> Callable[[http.HTTPFlow], None]:
        def look(flow: http.HTTPFlow) -> None:
            self.seen.append((hook, _body(flow.request), _body(flow.response)))

        return look

    def _wait(self, hook: str) -> Callable[[http.HTTPFlow], Any]:
        look = self._look(hook)

        async def wait(flow: http.HTTPFlow) -> None:
            await asyncio.sleep(0.001)
            look(flow)

        return wait

    def _fail(self, hook: str) -> Callable[[http.HTTPFlow], None]:
        look = self._look(hook)

        def fail(flow: http.HTTPFlow) -> None:
            look(flow)
            raise ValueError("an addon fails")

        return fail

    def _change(self, hook: str) -> Callable[[http.HTTPFlow], None]:
        look = self._look(hook)

        def change(flow: http.HTTPFlow) -> None:
            look(flow)
            if flow.response:
                flow.response.content = b"changed by an addon"

        return change

    def _stream(self, hook: str) -> Callable[[http.HTTPFlow], None]:
        look = self._look(hook)

        def stream(flow: http.HTTPFlow) -> None:
            look(flow)
            assert flow.response
            watch = flow.response.stream
            flow.response.stream = lambda data: _upper(watch, data)

        return stream


def _upper(watch: Any, data: bytes) -> bytes:
    passed = watch(data) if callable(watch) else data
    return (passed if isinstance(passed, bytes) else b"".join(passed)).upper()


def _body(message: http.Message | None) -> str | None:
    return None if message is None or message.raw_content is None else message.raw_content.decode()


class Control:
    """What listens to a test."""

    def __init__(self) -> None:
        self._watching: Watching | None = None

    async def running(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", int(os.environ["WATCHING_PORT"]))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(self._do(json.loads(line))).encode() + b"\n")
        writer.close()

    def _do(self, told: dict[str, Any]) -> dict[str, Any]:
        seen = self._watching.seen if self._watching else []
        if told.get("reset") and self._watching:
            ctx.master.addons.remove(self._watching)
            self._watching = None
        if "options" in told:
            ctx.options.update(**told["options"])
        if "hooks" in told:
            self._watching = Watching(told["hooks"])
            ctx.master.addons.add(self._watching)
        return {"in_one_go": taken, "seen": seen}


addons = [Control()]
