"""A reward model: what people judge bad, learned from their labels.

Takes labels and a base model; gives a model folder that `ClassifierScorer` uses, with how good it is on labels that it was
not trained on. Must not know how labels were collected, or what is done with the scores.
"""
