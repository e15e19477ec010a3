"""What this package overrides or relies on inside mitmproxy, and inside what mitmproxy is made of.

None of it is promised by anybody: any release may change it. So all of it is listed here, once, each with the
reason. At the start the proxy checks that all of it is there. A test holds what the code of each did in the
releases that were tested, and the upgrade note (docs/mitmproxy.md) says how to test another release.

What mitmproxy documents for addons (flows, messages, options, hooks) is not listed.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import FunctionType

SUPPORTED: Mapping[str, str] = {"mitmproxy": "12.2", "h11": "0.16", "h2": "4.3"}
"""The releases that the list was made for: their version is this, or begins with this and a dot."""


class InsidesError(RuntimeError):
    """The guard was not written for the mitmproxy that is installed. The message says what to do."""


class Kind(StrEnum):
    """How something is relied on."""

    REPLACED = "replaced"
    """Ours stands in its place, for as long as the process lives."""
    OVERRIDDEN = "overridden"
    """A method of ours goes before it, and calls it."""
    CALLED = "called"
    """Ours calls it, or is called by it, and depends on how it does what it does."""
    READ = "read"
    """An attribute that ours reads or sets."""


@dataclass(frozen=True, slots=True)
class Inside:
    """One thing that is relied on. place: `module:name` or `module:class.name`. why: a sentence."""

    kind: Kind
    place: str
    why: str


def _all(kind: Kind, owner: str, /, **whys: str) -> tuple[Inside, ...]:
    """List several of one owner: a module, or `module:class`."""
    dot = "." if ":" in owner else ":"
    return tuple(Inside(kind, f"{owner}{dot}{name}", why) for name, why in whys.items())


_HTTP = "mitmproxy.proxy.layers.http"
_STREAM = f"{_HTTP}:HttpStream"
_LAYER = f"{_HTTP}:HttpLayer"
_HTTP1 = f"{_HTTP}._http1"
_HTTP2 = f"{_HTTP}._http2"
_TLS = "mitmproxy.proxy.layers.tls"
_SERVER = "mitmproxy.proxy.server"
_HANDLER = f"{_SERVER}:ConnectionHandler"
_TIMER = f"{_SERVER}:TimeoutWatchdog"

INSIDES: tuple[Inside, ...] = (
    # The guard and the streams it is built on.
    *_all(
        Kind.REPLACED,
        _HTTP,
        HttpStream="HttpLayer makes one for each exchange. Only what was admitted passes ours.",
        Http1Server="HttpLayer makes one for each client of HTTP/1. Ours bounds heads and what waits unread.",
        Http1Client="HttpClient makes one for each engine of HTTP/1. Ours gives unasked bytes to nobody.",
        Http2Server="HttpLayer makes one for each client of HTTP/2. Ours bounds streams that are only reset.",
        Http2Client="HttpClient makes one for each engine of HTTP/2. Ours tells of unasked answers.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        _STREAM,
        __init__="Ours notes when a request began.",
        _handle_event="Ours notes when an engine was heard, takes wakeups, and whole messages in one go.",
        make_server_connection="All requests pass it on their way to an engine: here the guard stands.",
        check_invalid="It is called for each head, before any hook: ours refuses what is not plain HTTP.",
        check_body_size="It is called for each piece of a request: ours refuses too long ones at once.",
        handle_protocol_error="It ends an exchange: ours answers in JSON, or reads on without the client.",
        state_stream_response_body="It shows a chunk to the addon at once: ours, if it is long, in turns.",
        check_killed="It ends an exchange whose client left meanwhile: ours leaves that to the next event.",
        flow_done="It ends a stream whose answer is sent: ours then breaks the circles that keep it alive.",
    ),
    *_all(
        Kind.CALLED,
        _STREAM,
        send_response="It runs the hooks of an answer that was made here, and sends it.",
        state_wait_for_request_headers="It calls check_invalid, check_body_size and the hook, in turn.",
        state_consume_request_body="It asks for a connection and sends the request, with nothing in between.",
        state_wait_for_response_headers="It runs the addon's hook before the answer goes on.",
        state_consume_response_body="It runs the addon's hook before the client gets a buffered answer.",
        state_done="The state of a request or an answer that is whole.",
        state_errored="A stream in this state takes whatever comes, and does nothing.",
    ),
    *_all(
        Kind.READ,
        _STREAM,
        flow="The exchange, as the addon's hooks get it.",
        stream_id="It tells the streams of one client's connection apart.",
        child_layer="What goes on in place of the stream. Phoebe lets nothing come to that.",
        client_state="How far the request is.",
        server_state="How far the answer is.",
        request_body_buf="What has come of a request. Ours empties it when it refuses.",
        response_body_buf="What has come of an answer that is not streamed. Ours takes it when it reads on.",
    ),
    *_all(
        Kind.CALLED,
        _HTTP,
        GetHttpConnection="A stream that waits for a connection has this command outstanding.",
        SendHttp="It sends a part of an answer to the client's connection.",
        DropStream="It ends a stream.",
        HttpClient="It makes the connection to an engine and sends the first request as soon as it is open.",
    ),
    *_all(
        Kind.CALLED,
        f"{_HTTP}._base",
        ReceiveHttp="It tells a stream what came of it: here that its client has reset it.",
    ),
    *_all(
        Kind.CALLED,
        f"{_HTTP}._events",
        ErrorCode="Why an exchange is broken off.",
        RequestHeaders="A head on its way to an engine.",
        RequestData="A piece of a request on its way to an engine.",
        RequestEndOfMessage="The end of a request on its way to an engine.",
        RequestProtocolError="It breaks an exchange off towards its engine.",
        ResponseHeaders="A head on its way to a client.",
        ResponseData="A piece of an answer on its way to a client.",
        ResponseEndOfMessage="The end of an answer on its way to a client.",
        ResponseProtocolError="It breaks an exchange off towards its client.",
    ),
    *_all(
        Kind.CALLED,
        f"{_HTTP}._hooks",
        HttpRequestHeadersHook="A request that is refused before its hook runs has it first all the same.",
        HttpErrorHook="An exchange that is refused or broken off ends with it.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.proxy.commands",
        SendData="It writes to a connection.",
        CloseConnection="It closes a connection.",
        CloseTcpConnection="It may close the proxy's half of a connection alone.",
        RequestWakeup="A wakeup names the command that asked for it.",
        Command="What the layers want to be done.",
        Log="It writes to the log.",
        StartHook="It calls a hook of the addon. Those that do not block are waited for by nobody.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.proxy.events",
        DataReceived="Bytes have come on a connection.",
        HookCompleted="It tells a layer that the hook it waits for is over.",
        ConnectionClosed="The other side has closed a connection, or the proxy has.",
        Wakeup="The watchdog wants a stream to look whether somebody has been silent for too long.",
    ),
    *_all(
        Kind.CALLED,
        _LAYER,
        _handle_event="It gives events to the connection or the stream that they are for.",
        event_to_child="It makes a stream for a head, and gives it what comes, wakeups too.",
        get_connection="It reuses only connections that are open in both directions.",
        register_connection="It gives a new connection of HTTP/1 to one stream of HTTP/2 only.",
    ),
    *_all(
        Kind.CALLED,
        f"{_HTTP}:GetHttpConnection",
        connection_spec_matches="It says which open connection serves. The plain lane asks in its stead.",
    ),
    *_all(
        Kind.READ,
        f"{_HTTP}:HttpClient",
        child_layer="What speaks HTTP with an engine. The plain lane gives whole requests to it.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.net.http.http1.read",
        expected_http_body_size="How long a body is. Ours knows in which case it never says: to the end.",
        connection_close="Whether a connection ends. Ours knows in which case it never says so.",
    ),
    *_all(
        Kind.CALLED,
        _HTTP1,
        should_make_pipe="It ends the talk in HTTP. Ours knows in which case it never does.",
    ),
    *_all(
        Kind.READ,
        _LAYER,
        connections="The layer of each connection. Ours removes those that are closed.",
        streams="The exchanges under way, by id.",
        command_sources="It says which stream a wakeup is for.",
        waiting_for_establishment="It says which streams wait for which connection.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.layer:Layer",
        context="It has the connections, the options and the layers around a layer.",
        _paused="What a layer waits for.",
        _paused_event_queue="What came while it waits: an engine's bytes may be among it.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.proxy.layer:Layer",
        handle_event="It keeps events back while the layer waits for a command to be completed.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.proxy.layers.modes",
        ReverseProxy="Once HTTP is spoken behind it, it passes all on. Ours shows events to HTTP at once.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.proxy.layer:NextLayer",
        handle_event="Once it knows what is next, it passes all on. The same.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.context:Context",
        layers="The layers from the outermost on, by which ours finds its own.",
        client="The client's connection. Ours copies it to a fork.",
        server="The connection to the engine. The same.",
        options="mitmproxy's options. The same.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        "mitmproxy.proxy.context:Context",
        fork="It copies a context, which has four attributes. Ours makes no server that is replaced at once.",
    ),
    *_all(
        Kind.REPLACED,
        _SERVER,
        Context="A handler makes one. Ours is cheaper to fork.",
    ),
    *_all(
        Kind.REPLACED,
        "mitmproxy.http:MessageData",
        __post_init__="It checks the types of a message's fields. Ours does so faster.",
    ),
    *_all(
        Kind.REPLACED,
        "mitmproxy.http:Headers",
        __init__="It keeps fields as tuples of bytes. Ours does no more if no header is given by name.",
        get_all="It finds the values of a name. Ours does so without a call for each header.",
        set_all="It puts values in the place of others. The same.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.http",
        _always_bytes="It says what is wrong with a text that is none. Ours has it say that.",
    ),
    *_all(
        Kind.REPLACED,
        "mitmproxy.flow:Flow",
        __init__="It sets the fields of a flow. Ours sets the same, and does not ask the kernel for each id.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.flow:Flow",
        _resume_event="What an intercepted flow waits for. Ours sets it at the start.",
        _backup="How a flow was before it was changed. The same.",
    ),
    # HTTP/1.
    *_all(
        Kind.REPLACED,
        _HTTP1,
        make_error_response="mitmproxy would answer malformed requests in HTML. Ours answers in JSON.",
        make_body_reader="mitmproxy would leave an exchange with trailers hanging. Ours drops the trailers.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        f"{_HTTP1}:Http1Server",
        __init__="Ours notes when a connection began.",
        send="Ours sends the chunks of a stream without looking its headers up each time.",
        read_headers="Ours bounds a head, keeps what was sent out of the log, and reads whole requests.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        f"{_HTTP1}:Http1Client",
        send="Ours sends the head of a request in one piece with its body.",
        read_headers="Ours closes on unasked bytes, drops interim answers, and reads whole answers.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        f"{_HTTP1}:Http1Connection",
        wait="Ours bounds what a client sends before it has its answer, and forgets it when it leaves.",
        mark_done="It makes a connection ready for the next request: ours may close it, or does the same.",
    ),
    *_all(
        Kind.CALLED,
        f"{_HTTP1}:Http1Connection",
        _handle_event="It adds what comes to the buffer, then calls the state.",
        read_body="It reads a body by the reader that was made for it.",
        done="A connection in this state takes whatever comes, and does nothing.",
    ),
    *_all(
        Kind.READ,
        f"{_HTTP1}:Http1Connection",
        state="What the next event is given to.",
        buf="What has come and was not read.",
        stream_id="The exchange that is under way; None: none is.",
        request="The request that is under way; None: none is.",
        response="Its answer; None: its head has not come.",
        request_done="Whether all of the request has come, or has gone out. The plain lane sets it.",
        response_done="The same of its answer.",
    ),
    *_all(Kind.READ, f"{_HTTP}._base:HttpEvent", stream_id="Which exchange an event is of."),
    *_all(Kind.READ, f"{_HTTP}._base:HttpConnection", conn="The connection that the layer speaks on."),
    *_all(
        Kind.OVERRIDDEN,
        "h11._readers:ChunkedReader",
        __call__="It reads one piece of a chunked body. Ours drops the trailers at its end.",
    ),
    *_all(
        Kind.READ,
        "h11._readers:ChunkedReader",
        _bytes_in_chunk="Not 0: it is within a chunk. The fast lane opens between two.",
        _bytes_to_discard="Not empty: it is within the end of a chunk. The same.",
        _reading_trailer="Whether it is behind the last chunk. The same.",
    ),
    *_all(
        Kind.CALLED,
        "h11._readers",
        ContentLengthReader="It reads a body of a known length. The fast lane takes bytes in its stead.",
        Http10Reader="It reads a body that ends with the connection. It keeps nothing.",
    ),
    *_all(
        Kind.READ,
        "h11._readers:ContentLengthReader",
        _remaining="How much of the body is to come. The fast lane subtracts what went past the reader.",
    ),
    *_all(
        Kind.CALLED,
        "h11._receivebuffer:ReceiveBuffer",
        maybe_extract_lines="It takes a whole head out of the buffer. Ours drops interim answers by it.",
        __len__="How much has come and was not read.",
        __bytes__="What has come and was not read.",
    ),
    *_all(
        Kind.READ,
        "h11._receivebuffer:ReceiveBuffer",
        _data="The same without a copy. Ours looks for the end of a head in it.",
    ),
    # HTTP/2.
    *_all(
        Kind.OVERRIDDEN,
        f"{_HTTP2}:Http2Server",
        _handle_event="Ours says GOAWAY behind an answer when clients are to go elsewhere.",
        handle_h2_event="Ours counts streams that are opened and that are reset, and tells of each reset.",
    ),
    *_all(Kind.OVERRIDDEN, f"{_HTTP2}:Http2Client", _handle_event="Ours notes what came last."),
    *_all(
        Kind.CALLED,
        f"{_HTTP2}:Http2Client",
        handle_h2_event="It ends a connection on which an answer comes that nobody asked for.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        f"{_HTTP2}:Http2Connection",
        protocol_error="It ends the connection. Ours tells the addon if nothing was asked on it.",
    ),
    *_all(
        Kind.READ,
        f"{_HTTP2}:Http2Connection",
        h2_conn="The state of the connection in the library h2.",
        streams="What is asked on the connection.",
    ),
    *_all(
        Kind.READ,
        f"{_HTTP}._http_h2:BufferedH2Connection",
        stream_buffers="What waits for a client to give a window, by stream.",
    ),
    *_all(Kind.READ, "h2.connection:H2Connection", streams="It has the state of each stream."),
    *_all(Kind.READ, "h2.stream:H2Stream", state_machine="It has the state of a stream."),
    *_all(Kind.READ, "h2.stream:H2StreamStateMachine", headers_sent="Whether an answer has begun."),
    # TLS with clients.
    *_all(
        Kind.REPLACED,
        "mitmproxy.addons.next_layer",
        ClientTLSLayer="next_layer makes one for each client that speaks TLS. Ours bounds its first message.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        f"{_TLS}:ClientTLSLayer",
        receive_handshake_data="It collects the client's first message: ours bounds it.",
        on_handshake_error="It logs what is wrong with a handshake: ours shortens it.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        f"{_TLS}:TLSLayer",
        receive_data="It fails on what comes after a failed handshake: ours leaves that out.",
    ),
    *_all(
        Kind.READ,
        f"{_TLS}:ClientTLSLayer",
        recv_buffer="What has come of the client's first message.",
        client_hello_parsed="Whether it is whole.",
    ),
    *_all(
        Kind.CALLED,
        f"{_TLS}:TLSLayer",
        send_data="The fast lane encrypts as it does, with the same state of TLS, and goes past it.",
        tls_interact="It sends what is encrypted: the fast lane does so at once, too.",
    ),
    *_all(
        Kind.READ,
        f"{_TLS}:TLSLayer",
        tls="None: there is no TLS to decrypt with. The fast lane encrypts with it.",
        is_dtls="Whether it is TLS over UDP: no fast lane.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.tunnel:TunnelLayer",
        tunnel_connection="Whose connection it wraps: the fast lane knows one way to wrap a client's.",
        tunnel_state="Whether what is sent now can be encrypted.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.tunnel:TunnelState",
        OPEN="The handshake is done, and nobody has ended it.",
    ),
    # The sockets, timers and limits of a client's connection.
    *_all(
        Kind.REPLACED,
        "mitmproxy.proxy.mode_servers",
        ProxyConnectionHandler="mitmproxy makes one for each client. Ours has backpressure and a watchdog.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        "mitmproxy.proxy.mode_servers:ProxyConnectionHandler",
        __init__="Ours puts its own timer and limit in the place of mitmproxy's.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        _HANDLER,
        handle_connection="It reads one connection: ours notes which one.",
        handle_client="It talks with a client: ours first puts a layer that calls hooks before the others.",
        hook_task="It runs a hook and lets the layers go on: ours notes that.",
        drain_writers="It waits before more is read: ours also waits for the windows of HTTP/2.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        "mitmproxy.proxy.mode_servers:ProxyConnectionHandler",
        handle_hook="It asks the addons: ours waits for what is left of a hook that it has begun.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.mode_servers:ProxyConnectionHandler",
        master="It has the manager of the addons.",
    ),
    *_all(
        Kind.CALLED,
        _HANDLER,
        server_event="It runs the layers, without a pause, and does what they command.",
        open_connection="It opens the connection to an engine, when its turn has come.",
        close_connection="It closes a connection, or the proxy's half of it, and notes that at once.",
        on_timeout="It ends a client's connection.",
    ),
    *_all(
        Kind.READ,
        _HANDLER,
        client="The client's connection.",
        layer="The outermost layer.",
        transports="Reader and writer of each connection.",
        timeout_watchdog="Its one timer: ours stands in its place.",
        max_conns="How many connections to an engine it opens at a time: ours raises it.",
    ),
    *_all(
        Kind.READ,
        f"{_SERVER}:ConnectionIO",
        handler="The task that reads a connection. Who can't write to it cancels that.",
        reader="asyncio's reader of a connection.",
        writer="asyncio's writer of a connection.",
    ),
    *_all(
        Kind.READ,
        "asyncio:Future",
        _asyncio_future_blocking="A coroutine that waits for a future sets it. Who drives it resets it.",
    ),
    *_all(Kind.READ, "asyncio:StreamReader", _buffer="What asyncio has read and mitmproxy has not."),
    *_all(
        Kind.OVERRIDDEN,
        _TIMER,
        __init__="Ours knows the handler, to look at all exchanges of the connection.",
        watch="It knows one deadline: ours has one for each side of each exchange.",
    ),
    *_all(
        Kind.READ,
        _TIMER,
        last_activity="When something last passed on the connection.",
        timeout="mitmproxy's option tcp_timeout.",
        can_timeout="It is cleared while a hook runs.",
        callback="What ends the connection.",
    ),
    # Options.
    *_all(
        Kind.READ,
        "mitmproxy.optmanager:OptManager",
        deferred="What was given for options that nobody declared: ours takes what was meant for it.",
        _options="The options by name: the fast lane looks at one for every chunk, and must not copy it.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.optmanager:_Option",
        value="What an option was set to, if it was.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.optmanager:_UnconvertedStrings",
        val="The texts behind --set, one for each time.",
    ),
    # Modes, and what is printed.
    *_all(
        Kind.CALLED,
        "mitmproxy.proxy.mode_specs:ProxyMode",
        parse="It keeps what it has parsed: ours takes UDP out of it before anything is listened on.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.mode_specs:ReverseMode",
        transport_protocol="What a mode listens on: ours leaves TCP alone.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        "mitmproxy.addons.dumper:Dumper",
        echo_flow="It prints a flow, however much is to be printed: ours takes the query out meanwhile.",
    ),
    # Addons, and the end of the process.
    *_all(
        Kind.OVERRIDDEN,
        "mitmproxy.addonmanager:AddonManager",
        trigger_event="It asks every addon for every hook: ours remembers which have it.",
        trigger="The same for each line of the log.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.addons.asgiapp:ASGIApp",
        should_serve="It says whether a request is for an application that is served by an addon.",
        request="It asks that, and does nothing else for other requests.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.addons.onboarding:Onboarding",
        request="It does the same, if its option is on.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.addonmanager:AddonManager",
        invoke_addon="It calls the hook of one addon, and of the addons within it.",
        invoke_addon_sync="The same for hooks that nothing waits for.",
        handle_lifecycle="It triggers the hooks of a connection.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.addonmanager:AddonManager",
        chain="The addons, in the order in which they are asked.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.addonmanager",
        safecall="What an addon raises is logged, and mitmproxy goes on: the reason for the guard.",
    ),
    *_all(
        Kind.OVERRIDDEN,
        "mitmproxy.master:Master",
        shutdown="It ends the process: ours lets what is under way come to its end first.",
    ),
    *_all(Kind.READ, "mitmproxy.master:Master", event_loop="The loop that everything runs on."),
    *_all(
        Kind.READ,
        "mitmproxy.addons.proxyserver:Proxyserver",
        connections="The handlers of all clients' connections.",
        servers="What it listens with. A worker is ready once all of them are set up.",
    ),
    # Listening, in workers of `phoebe proxy`.
    *_all(
        Kind.REPLACED,
        "mitmproxy.proxy.mode_servers:AsyncioServerInstance",
        listen="It binds an address. In a worker ours listens on sockets that it is given.",
    ),
    *_all(
        Kind.CALLED,
        "mitmproxy.proxy.mode_servers:ServerInstance",
        handle_stream="It serves a connection that was accepted.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.mode_servers:ServerInstance",
        mode="What it was made for.",
        last_exception="Why it could not be set up.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.proxy.mode_servers:AsyncioServerInstance",
        is_running="Whether it has something to listen with, be it without a socket yet.",
    ),
    *_all(
        Kind.READ,
        "mitmproxy.addons.errorcheck:ErrorCheck",
        logger="It ends the process when an error is logged at the start: ours tells it which do not count.",
    ),
)


def check() -> None:
    """Check that this mitmproxy has all that is listed. Raises InsidesError that names everything missing."""
    found = {
        "mitmproxy": importlib.import_module("mitmproxy.version").VERSION,
        **{name: importlib.import_module(name).__version__ for name in ("h11", "h2")},
    }
    wrong = [f"{name} is {found[name]}" for name in SUPPORTED if not is_supported(name, found[name])]
    wrong += [f"{each.place} is missing ({each.why})" for each in INSIDES if not exists(each.place)]
    if wrong:
        supported = ", ".join(f"{name} {version}" for name, version in SUPPORTED.items())
        raise InsidesError(
            f"this mitmproxy can't be guarded: {'; '.join(wrong)}. Supported are {supported}: "
            "install the requirements of this release of Phoebe, or a release of Phoebe for this mitmproxy"
        )


def is_supported(name: str, version: str) -> bool:
    """Whether the list was made for a release of mitmproxy, or of what it is made of."""
    return f"{version}.".startswith(f"{SUPPORTED[name]}.")


def exists(place: str) -> bool:
    """Whether there is something at a place; attributes of instances included."""
    module_name, _, names = place.partition(":")
    try:
        owner: object = importlib.import_module(module_name)
    except ImportError:
        return False
    *owners, name = names.split(".")
    for each in owners:
        owner = getattr(owner, each, None)
    return hasattr(owner, name) or (isinstance(owner, type) and _is_instance_attribute(owner, name))


def _is_instance_attribute(owner: type, name: str) -> bool:
    """Whether instances of a class have an attribute that the class itself has not.

    It is announced by an annotation, or a method of the class sets or reads it.
    """
    return any(
        name in getattr(each, "__annotations__", {})
        or any(
            isinstance(method, FunctionType) and name in method.__code__.co_names
            for method in vars(each).values()
        )
        for each in owner.__mro__
    )
