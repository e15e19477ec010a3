"""The gRPC service: its faces, who may call, what is taken from callers, metrics, and runs by schedule.

Begin with `server`. A face (`metering`, `rating`, `health`) reads a message, calls a package below and
words the answer; `call_guard` and `access_list` let callers in, `rpc_errors` words errors.
"""
