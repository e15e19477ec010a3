"""What mitmdump prints of flows: without the queries of their URLs, which may hold keys of customers."""

from mitmproxy import addonmanager, http


def without_queries(addons: addonmanager.AddonManager) -> None:
    """Let mitmdump print no queries, however much it is told to print (`flow_detail`)."""
    dumper = addons.get("dumper")
    if dumper is None:
        return
    echo_flow = dumper.echo_flow

    def echo_without_query(flow: http.HTTPFlow) -> None:
        request = flow.request
        path = request.data.path
        request.data.path = path.partition(b"?")[0]
        try:
            echo_flow(flow)
        finally:
            request.data.path = path

    dumper.echo_flow = echo_without_query
