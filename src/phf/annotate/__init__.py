"""Corpus x scorers -> annotated dataset: pieces, shards, backends, the cache of annotated corpora, the Hub.

Takes documents and scorers; gives Parquet shards and a manifest; every piece and every shard is complete or absent. May not
know what the scores will be used for.
"""
