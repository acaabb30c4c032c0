"""A child process that encodes shares of a corpus: `python -m phf.tokens.encoding_worker PARENT`.

It receives {"corpus": ..., "folder": ..., "path": sys.path}, then for each share {"part", "number", "of", "start"}. For every
piece of it that is not in the folder yet it waits for {} (continue), writes the piece and answers {"piece": ...}; at the end
of the share it answers {"end": number of the last piece of the share + 1}.
"""

import importlib
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phf.errors import PhfError
from phf.tokens.pieces import Corpus, PieceFiles, PieceStart, Share, encode_share, encoder_of
from phf.tokens.text_tokenizer import TextTokenizer
from phf.workers.garbage import collecting_rarely
from phf.workers.parent import Parent


def main() -> None:
    """Serve until the parent is gone."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process for each processor
    parent = Parent()
    try:
        with collecting_rarely():
            _serve(parent, *parent.receive())
    except PhfError as error:
        parent.send_error(error)


def _serve(parent: Parent, settings: dict[str, Any], _: bytes) -> None:
    sys.path[:] = settings["path"]
    importlib.invalidate_caches()
    described = settings["corpus"]
    tokenizer = TextTokenizer(described["tokenizer"]["backend"], tuple(described["tokenizer"]["reserved_ids"]))
    corpus = Corpus(**{**described, "sources": tuple(described["sources"]), "tokenizer": tokenizer})
    logging.disable()  # the parent has read the same folders and logged what is in them
    parts = corpus.parts()
    logging.disable(logging.NOTSET)
    encoder, files = encoder_of(corpus), PieceFiles(Path(settings["folder"]))
    while True:
        request, _ = parent.receive()
        share = Share(**{**request, "start": PieceStart(**request["start"])})
        stop = 0
        for start, encoded in encode_share(corpus, *parts[share.part], share, encoder, files.numbers(share.part)):
            stop = start.number + 1
            if encoded is not None:
                parent.send(piece=asdict(files.write(share.part, start, encoded)))
                parent.receive()
        parent.send(end=stop)


if __name__ == "__main__":
    main()
