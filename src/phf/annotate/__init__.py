"""Corpus x scorers -> annotated dataset: pieces, shards, backends, the cache of annotated corpora, the Hub.

Takes documents and scorers; writes Parquet shards and a manifest; every piece and every shard is complete or absent. Must not
know what the scores will be used for.
"""
