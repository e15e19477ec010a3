"""One exchange: one request and its answer, from the request's head to the end.

Begin with `exchange`: where an exchange stands and what may become of it. `admission` is what was known when
it was let in, `metering` follows its answer, `event` says what is recorded of it. Pure: ids and times are
passed in. What is done about an exchange is done in `proxy`, `meter` and `addon`.
"""
