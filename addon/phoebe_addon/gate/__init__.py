"""The gate: the checks that decide whether an exchange is admitted, and what a refused client is told.

Begin with `gate`. `identity` is who pays, `routes` which paths there are, `request_body` what is asked,
`upstreams` which engine serves it, `forwarding` which headers it gets, `refusal` the words. Pure: values
in, decision out.
"""
