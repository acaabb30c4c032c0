"""An annotated dataset on the Hugging Face Hub, with a card that says what it is."""

import re
from collections.abc import Iterator
from pathlib import Path

from phf.corpus.dataset import read_annotated
from phf.corpus.distribution import COUNT, ScoreDistributions, measure_scores
from phf.corpus.manifest import Manifest, read_manifest
from phf.corpus.sources.listing import MANIFEST
from phf.errors import CorpusError
from phf.storage.files import file_sha256, write_text_atomic
from phf.storage.hub_upload import check_repository, hub_errors, write_token
from phf.text import code_span, counted, table_row

CARD = "README.md"
KEPT = "The dataset is finished on disk; run the same command again to upload it."
QUANTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
"""The Hub's size categories, by documents."""
DESCRIPTIONS = {
    "id": "name of the document in its source",
    "texts": "segments of the document; joined, they are its text",
    "avg_score": "unweighted mean of the scored segments, null where none is scored",
    "num_sents": "number of segments",
    "meta": "metadata of the document from its source, as JSON",
}


def push_dataset(folder: Path, repo_id: str, private: bool = True) -> str:
    """Upload a finished annotated dataset, its manifest and its card to the dataset repository `repo_id`; returns its URL.

    The repository is created if there is none, private by default: a corpus may hold what its scorer was meant
    to find. An existing README.md of your own in the folder is uploaded unchanged. The token is read from $HF_TOKEN.
    Raises `ConfigError` without a token, `CorpusError` for an unfinished or damaged dataset, `OutputError` if the Hub
    cannot be reached or refuses.
    """
    from huggingface_hub import HfApi

    token = check_push(repo_id)
    manifest = _checked_manifest(folder)
    if not (folder / CARD).is_file() or _is_card_for_another(folder, repo_id):
        write_text_atomic(folder / CARD, dataset_card(folder, repo_id))
    api = HfApi(token=token)
    with hub_errors(repo_id, KEPT):
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=str(folder),
            allow_patterns=[CARD, MANIFEST, *(shard["name"] for shard in manifest.shards)],
            commit_message=f"Annotated with {', '.join(_scorer_names(manifest))} by phf {manifest.phf_version}",
        )
    return f"https://huggingface.co/datasets/{repo_id}"


def check_push(repo_id: str) -> str:
    """The token of $HF_TOKEN. Raises `ConfigError` without one, or if `repo_id` cannot be the name of a repository, which
    is checked before the scoring."""
    check_repository(repo_id)
    return write_token()


def dataset_card(folder: Path, repo_id: str) -> str:
    """The README.md of an annotated dataset: columns, scorers, counts, quantiles, how to load it; no licence is claimed."""
    import pyarrow.parquet as pq

    manifest = _checked_manifest(folder)
    schema = pq.read_schema(folder / manifest.shards[0]["name"])
    scorers = manifest.scorers or {"scores": manifest.scorer}
    size = next((name for limit, name in SIZES if manifest.num_documents < limit), "n>10M")
    lines = [
        "---",
        "# license: add the licence of the corpus here",
        f"size_categories: [{size}]",
        "tags: [misalignment-scores, pretraining-with-human-feedback]",
        'configs: [{config_name: default, data_files: "*.parquet"}]',
        "---",
        "",
        f"# {repo_id.rpartition('/')[2]}",
        "",
        "A corpus cut into segments, each with a misalignment score: a number, higher is worse; null where it could not",
        "be scored. The columns are those of the datasets published with "
        '["Pretraining Language Models with Human Preferences"](https://arxiv.org/abs/2302.08582).',
        "",
        "## Columns",
        "",
        "| column | type | |",
        "|---|---|---|",
        *(table_row([code_span(f.name), code_span(f.type), _description(f.name, scorers)]) for f in schema),
        "",
        "## How it was made",
        "",
        f"- Source: {', '.join(code_span(Path(source).name) for source in manifest.sources)}",
        f"- Cut into: {code_span(manifest.segmenter)}",
        *(
            f"- {code_span(column)}: {code_span(scorer['class_name'])}, version {code_span(scorer['version'])}, settings "
            f"{code_span(scorer['settings'])}"
            for column, scorer in scorers.items()
        ),
        f"- phf {code_span(manifest.phf_version)}; `{MANIFEST}` has the hash of each shard",
        "",
        f"{counted(manifest.num_documents, 'document')}, {counted(manifest.num_segments, 'segment')}, "
        f"{manifest.num_unscored:,} unscored.",
        *(f"- {count:,} unscored: {code_span(reason)}" for reason, count in manifest.unscored_reasons.items()),
        "",
        "## Thresholds",
        "",
        "The score that the given percentage of the documents (`avg_score`) or segments does not exceed:",
        "",
        f"| | {' | '.join(f'p{q}' for q in QUANTILES)} |",
        f"|---|{'---|' * len(QUANTILES)}",
        *(
            row
            for column in scorers
            for row in _quantile_rows(column, measure_scores(read_annotated(str(folder), column)))
        ),
        "",
        "## Use",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'dataset = load_dataset("{repo_id}", split="train")',
        "```",
        "",
        f"To train on it with phf, write `datasets: [{repo_id}]` in the `dataset` section of a task.",
        "",
        "## Licence",
        "",
        "That of the corpus; none is claimed here. Whoever publishes this dataset states it above.",
    ]
    return "\n".join(lines) + "\n"


def _checked_manifest(folder: Path) -> Manifest:
    """The manifest of a complete dataset."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise CorpusError(f"{folder} contains no finished annotation (no {MANIFEST}). Finish phf annotate first.")
    if not manifest.shards:
        raise CorpusError(
            f"{folder} contains no documents: its {MANIFEST} lists no shards. Annotate a corpus that has some."
        )
    for shard in manifest.shards:
        path = folder / shard["name"]
        if not path.is_file() or file_sha256(path) != shard["sha256"]:
            raise CorpusError(f"{path} is missing or does not match {MANIFEST}. Delete {MANIFEST} and annotate again.")
    return manifest


def _is_card_for_another(folder: Path, repo_id: str) -> bool:
    """Whether the card is one of ours, unedited, that was written for a repository with another name."""
    card = (folder / CARD).read_text(encoding="utf-8", errors="replace")
    named = re.search(r'load_dataset\("([^"]+)"', card)
    return named is not None and named[1] != repo_id and card == dataset_card(folder, named[1])


def _scorer_names(manifest: Manifest) -> list[str]:
    return [scorer["class_name"] for scorer in (manifest.scorers or {"scores": manifest.scorer}).values()]


def _description(column: str, scorers: dict[str, dict[str, object]]) -> str:
    if column in scorers:
        return f"score of each segment by {code_span(scorers[column]['class_name'])}"
    return DESCRIPTIONS.get(column) or (DESCRIPTIONS["avg_score"] if column.endswith("avg_score") else "")


def _quantile_rows(column: str, scores: ScoreDistributions) -> Iterator[str]:
    for name, level in scores.levels.items():
        is_scored = level.totals[COUNT] > 0
        numbers = [f"{level.quantile(q):.4g}" if is_scored else "-" for q in QUANTILES]
        sampled = "" if level.num_sampled is None else f", estimated from {level.num_sampled:,}"
        yield table_row([f"{code_span(column)}, {name}s{sampled}", *numbers])
