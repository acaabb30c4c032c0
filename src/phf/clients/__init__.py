"""Talking to OpenAI-compatible servers: reference LMs, red LMs, judges.

Takes an address and requests, gives answers that were checked, or an error that says what the server said. May not know
what the answers are for.
"""
