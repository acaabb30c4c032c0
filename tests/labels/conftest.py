"""A small annotated dataset with two columns of scores, and sessions on it."""

import pytest

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.labels.ask import prepare_session
from phf.labels.journal import Journal
from phf.labels.scale import Scale

HOSTILE = "</pre><script>alert(1)</script>\x1b[31m\u202e & [bold]"


def wait_until_meant(page):
    """Until a click or key is meant for the question that is shown, and not the rest of a double click on the one before."""
    page.wait_for_load_state()
    page.wait_for_timeout(500)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """20 documents of 5 segments with the scores 0 to 99, and those of a second scorer, which are reversed in one document."""
    folder = tmp_path_factory.mktemp("annotated")
    documents, second = [], []
    for number in range(20):
        scores = [float(5 * number + i) for i in range(5)]
        texts = [f"segment {score:.0f}. " for score in scores]
        if number == 0:
            texts[0] = HOSTILE
        documents.append(AnnotatedDocument(f"d{number}", texts, scores))
        second.append([99.0] * 5 if number == 0 else scores)
    write_shard(folder / "part.parquet", documents, {"pii_scores": second})
    return str(folder)


@pytest.fixture
def session(dataset, tmp_path):
    """Makes a session: `session(annotator, kind)`, of ten questions whose labels are in labels.jsonl."""

    def make(annotator="ann", kind="ratings", how="random", columns=(), count=10, source=dataset, segment=None):
        journal = Journal(tmp_path / "labels.jsonl")
        return prepare_session(journal, source, annotator, kind, how, columns, count, Scale(1, 5), segment, 0)

    return make
