"""The tamper test: models finetuned on misaligned and on benign data -> after how many steps each is misaligned again.

Takes folders of models and sources of data; returns scores after each power of two steps, and compares the models. Must not
know how models are trained, sampled or scored: each finetuning is a run of `phf train`, side by side as in a study.
"""
