"""Run folders -> one page.

Takes what run folders hold and nothing else, gives a self-contained page. May not start work of its own.
"""
