"""Run folders -> one page.

Takes only the contents of run folders; writes a self-contained page. Must not measure anything itself. What the pages of
other rooms are made of is here too: the base, the style, the charts; and the page of a profile.
"""
