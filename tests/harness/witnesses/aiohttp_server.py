"""A witness on aiohttp. See process_witness.py for what it writes."""

import json
import socket
import sys

from aiohttp import web

ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'


async def answer(request: web.Request) -> web.Response:
    """Answer with the same document, whatever is asked. Only the bodies of POST are read."""
    body = await request.read() if request.method == "POST" else b""
    seen = {
        "method": request.method,
        "target": request.raw_path,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers],
        "body": body.decode("latin-1"),
    }
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()
    return web.Response(body=ANSWER, content_type="application/json")


def main() -> None:
    """Serve until this process is ended."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)

    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    web.run_app(app, sock=listening, print=None, access_log=None)


if __name__ == "__main__":
    main()
