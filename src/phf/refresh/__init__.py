"""On-policy refresh: a trained model's own samples, scored, become part of what it is trained on next (Quark, Lu et al. 2022).

Takes a finished run of `phf train`; gives a model that its method was trained on with for some rounds, and what each round
changed. Must not know how studies are made, or how a page of runs is.
"""
