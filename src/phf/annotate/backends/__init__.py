"""Where pieces are scored: worker processes on this machine, or a Ray cluster."""
