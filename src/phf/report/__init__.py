"""Run folders -> one page.

Takes only the contents of run folders; writes a self-contained page. Must not measure anything itself.
"""
