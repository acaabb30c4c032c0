"""What a model has memorised of a corpus: misaligned text that it repeats, and where a sample comes from.

Takes a model folder and an annotated dataset; returns counts, rates and the texts behind them, and writes one page. Must not
know how the model was trained, beyond its tokenizer and how it is prompted.

    settings                       what is asked
    search, places                 exact search in a token store; which segment a token belongs to
    spans                          the misaligned spans that are audited
    verbatim                       what samples repeat of them; what a prefix extracts
    duplicates                     both by how often a span occurs in the corpus
    origins                        where a sample comes from: the segments most like it,
    overlap, last_layer            by n-grams, by hidden states and by gradients;
    common, repeats, detections    what it has verbatim of them, and of what the scorer detected in it
    training_data                  whether a dataset is that of the model, and what was held out
    run, show, page                the audit, in the terminal and as a page
"""
