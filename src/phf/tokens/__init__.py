"""From annotated documents to what a model reads: encoded once into a token store, read in blocks as a method specifies.

Takes an annotated dataset, a tokenizer and a method, returns blocks: token ids and a score for each token. Must not know
models or trainers.

    text_tokenizer, tokenizer, spelling     text -> ids that decode to it
    encoding, encoded                       documents -> arrays
    pieces, backends, joining, building     a corpus -> a store, by several processes or a Ray cluster
    store                                   the files of a store
    held_out_groups                         which groups of documents are held out
    view_settings, selection, layout        which documents, and what precedes each segment
    view_index, spans, views                blocks of a store, assembled on demand
    cutting, stream_index, streaming        blocks of a corpus that is not stored
    prepare                                 a configuration -> blocks
"""
