"""Everything that touches mitmproxy's insides: its layers, connections, timers, modes and addons.

Begin with `guard`, which lets nothing reach an engine that was not admitted. `http1`, `http2` and `tls`
bound what a peer can make mitmproxy keep, `watchdog` and `silence` end what is stuck, `flows` turns flows
into values and back. What is decided about an exchange is decided elsewhere.
"""
