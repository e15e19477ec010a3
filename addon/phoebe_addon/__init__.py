"""Phoebe's mitmproxy addon: admits only exchanges that can be billed, and keeps one durable event of each."""
