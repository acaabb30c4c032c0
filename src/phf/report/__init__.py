"""Run folders -> one page."""
