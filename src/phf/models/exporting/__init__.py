"""The folder that plain `transformers` loads, with prefix and bans built in, checked after writing."""
