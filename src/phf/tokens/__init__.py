"""From annotated documents to what a model reads: tokenizers, encoding, blocks of tokens and their order.

Takes an annotated dataset, a tokenizer and a method, gives blocks: token ids and a score for each token. May not know
models or trainers.
"""
