"""Where shards are scored: worker processes of this machine, or a Ray cluster."""
