"""Held-out loss and bits per byte, per class of segment, and whether the control tokens were learned."""
