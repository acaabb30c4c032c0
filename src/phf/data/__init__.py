"""Documents, segments, the annotated dataset, and packing into blocks of tokens."""
