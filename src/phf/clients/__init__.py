"""Talking to OpenAI-compatible servers: reference LMs, red LMs, judges.

Takes an address and requests; gives validated answers, or an error that quotes the server. May not know what the
answers are for.
"""
