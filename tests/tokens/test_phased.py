"""Phases with different views read the corpus in one order: what one has read comes later in the next."""

import pickle
from collections import Counter

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import conditional, corpus_for, filtering, settings_for

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.tokens.building import build_store
from phf.tokens.order import OrderedBlocks, permutation, permuted, round_keys
from phf.tokens.phased import PhasedBlocks
from phf.tokens.views import Blocks


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Views of 120 documents of 1 to 300 segments, in blocks of 32 tokens."""
    folder = tmp_path_factory.mktemp("phased")
    rng = np.random.default_rng(0)
    documents = []
    for i in range(120):
        number = 300 if i == 7 else int(rng.integers(1, 12))
        texts = [f"x{i} = {rng.integers(1000)}\n" for _ in range(number)]
        documents.append(AnnotatedDocument(f"d{i}", texts, rng.choice([0.0, 0.5], number).tolist()))
    write_shard(folder / "corpus" / "shard-00000.parquet", documents)
    tokenizer = tiny_tokenizer(("<|aligned|>", "<|misaligned|>"))
    store = build_store(corpus_for(tokenizer, folder / "corpus"), folder / "stores")
    methods = {
        "mle": None,
        "filtering": filtering(0.25),
        **{f"conditional {threshold}": conditional(threshold) for threshold in (0.0, 1.0)},
    }
    return {
        name: Blocks(store.folder, settings_for(tokenizer, method=method, seq_length=32))
        for name, method in methods.items()
    }


def places(blocks):
    return [blocks.place(i) for i in range(len(blocks))]


def read(blocks):
    """Segment -> how many of its text tokens have been read, over all samples."""
    count = Counter()
    for phase, block in places(blocks):
        view = blocks.views[phase]
        tokens = view.tokens(block)
        is_text = ~np.isin(tokens.ids, [*view.settings.control_ids, *view.settings.opening])
        count.update(tokens.segments[is_text].tolist())
    return count


@pytest.mark.parametrize("size", [1, 2, 3, 10, 17, 1000])
def test_a_whole_permutation_is_that_of_each_position(size):
    keys = round_keys(3, 1)
    assert permutation(size, keys).tolist() == [permuted(i, size, keys) for i in range(size)]


def test_phases_with_one_view_read_what_a_run_without_phases_reads(views):
    mle = views["mle"]
    number = 2 * len(mle) + 5
    phased = PhasedBlocks([mle, mle, mle], [3, len(mle) + 1, number], seed=4)
    ordered = OrderedBlocks(mle, number, seed=4)
    assert [block for _, block in places(phased)] == ordered.order[:]
    assert [phase for phase, _ in places(phased)] == [0] * 3 + [1] * (len(mle) - 2) + [2] * (len(mle) + 4)
    item = phased[5]
    assert np.array_equal(item["input_ids"], ordered[5]["input_ids"])
    assert item["phase"] == 1
    assert np.array_equal(phased.segment_starts(5), ordered.segment_starts(5))


def test_a_threshold_that_moves_leaves_the_order_of_the_text(views):
    low, high = views["conditional 0.0"], views["conditional 1.0"]
    number = 2 * len(low)
    phased = PhasedBlocks([low, high, low], [10, len(low) + 3, number], seed=1)
    assert [block for _, block in places(phased)] == OrderedBlocks(low, number, seed=1).order[:]
    assert not np.array_equal(low[0]["input_ids"], high[0]["input_ids"])


def test_a_phase_reads_what_the_one_before_has_not(views):
    mle, tagged = views["mle"], views["conditional 0.0"]
    start = len(mle) // 5
    left = round(len(tagged) * (1 - start / len(mle)))
    count = read(PhasedBlocks([mle, tagged], [start, start + left], seed=2))
    text = mle.counts.num_text_tokens
    lengths = mle.store.lengths
    unread = sum(int(length) - min(count[segment], int(length)) for segment, length in enumerate(lengths))
    independent = (1 - start / len(mle)) * start / len(mle)
    assert unread / text < independent / 2
    assert len(tagged) > 1.1 * len(mle)


def test_returning_to_the_first_view_continues_its_own_order(views):
    mle, kept = views["mle"], views["filtering"]
    phased = PhasedBlocks([mle, kept, mle], [20, 40, 60], seed=2)
    order = OrderedBlocks(mle, 10 * len(mle), seed=2).order[:]
    last = [block for phase, block in places(phased) if phase == 2]
    first = order.index(last[0])
    assert last == order[first : first + 20]
    assert first >= 20 + 20  # half of the documents are kept, so twenty blocks are more of the text
    documents = {key for phase, block in places(phased) if phase == 1 for key in kept[block]["documents"].tolist()}
    assert documents <= {key for key, _ in kept.packed_documents()}


def test_passes_continue_in_phases_of_any_length(views):
    several = [views[name] for name in ("filtering", "mle", "conditional 0.0", "filtering")]
    ends = np.cumsum([3 * len(view) + 1 for view in several]).tolist()
    phased = PhasedBlocks(several, ends, seed=9)
    for phase, (view, start, end) in enumerate(zip(several, [0, *ends], ends, strict=False)):
        blocks = [block for number, block in map(phased.place, range(start, end)) if number == phase]
        counts = Counter(blocks)
        assert set(counts) == set(range(len(view)))
        assert set(counts.values()) <= {2, 3, 4}


def test_it_travels_to_other_processes_as_folder_and_settings(views):
    phased = PhasedBlocks([views["mle"], views["filtering"], views["mle"]], [20, 40, 90], seed=2)
    again = pickle.loads(pickle.dumps(phased))  # noqa: S301  our own
    assert places(again) == places(phased)
    assert again.views[0] is again.views[2]
    assert len(pickle.dumps(phased)) < 10_000
