"""How much the service takes from its callers, so that none of them can use it up."""

# A batch of 1,000 events of the largest size they may have, and some. It holds for what a message is after
# decompression too.
MESSAGE_BYTES_MAX = 32 * 1024 * 1024
# A token and what gRPC itself sends are a few hundred bytes.
METADATA_BYTES_MAX = 8 * 1024
# Below the 1,024 files that a process may have open by default; the database and the price file need some.
CONNECTIONS_MAX = 900
# An addon needs one call, a scheduler one, a web page some.
CALLS_PER_CONNECTION_MAX = 100
# All connections together: an addon holds one as long as it runs.
CALLS_MAX = 2_000
# A handshake takes two round trips.
HANDSHAKE_TIMEOUT_S = 10
# The message of a call that has but one comes with the call.
FIRST_MESSAGE_TIMEOUT_S = 10
# Finds callers that are gone without a word, and keeps the entries of firewalls in between alive.
KEEPALIVE_S = 60
KEEPALIVE_TIMEOUT_S = 20
# Callers ping as well, every 10 to 30 seconds mostly, while they wait for a run. gRPC takes pings more often
# than every five minutes for an attack, and throws such callers out after a minute.
PING_INTERVAL_MIN_MS = 500
# A connection without a call.
IDLE_MAX_S = 300
# Whoever lost their certificate loses the connection too, at last. gRPC spreads the moment by a tenth.
CONNECTION_AGE_MAX_S = 3_600
# What is under way then may take as long as the longest rating run.
CONNECTION_GRACE_S = 3_600

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # gRPC keeps 64 KiB of each stream that is not read from, instead of as much as the line is good for. What
    # is read comes as fast as before.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ("grpc.max_concurrent_streams", CALLS_PER_CONNECTION_MAX),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_S * 1000),
    ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
    ("grpc.max_connection_idle_ms", IDLE_MAX_S * 1000),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MAX_S * 1000),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_S * 1000),
    # Otherwise a second service could take half of the connections instead of being told.
    ("grpc.so_reuseport", 0),
)
"""What a gRPC server is made with."""
