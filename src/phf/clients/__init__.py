"""Talking to OpenAI-compatible servers: reference LMs, red LMs, judges.

Takes an address and requests; returns validated answers, or an error that quotes the server. Must not know what the
answers are for.
"""
