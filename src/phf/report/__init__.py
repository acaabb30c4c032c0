"""Run folders -> one page.

Takes only the contents of run folders; gives a self-contained page. May not measure anything itself.
"""
