"""An exported model in a repository of the Hugging Face Hub, with a tag for the tokens that it has seen."""

from decimal import Decimal
from pathlib import Path

from phf.storage.hub_upload import PUSH_TO_HUB, check_repository, hub_errors, write_token

UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


class ModelRepository:
    """A model repository, which is created if there is none.

    Args:
        repo_id: OWNER/NAME, or NAME for one of the token's owner.
        is_private: whether a new one is private.
        option: how the user asked for it, for messages.
        kept: a sentence on what is on disk in any case, and how to upload it later.

    Raises `ConfigError` without a token in $HF_TOKEN or for an impossible name, `OutputError` where the Hub cannot be reached
    or refuses.

    Attributes:
        repo_id: OWNER/NAME.
        url: where the model is shown.
        kept: as above; may be set.
    """

    def __init__(self, repo_id: str, is_private: bool = True, option: str = PUSH_TO_HUB, kept: str = "") -> None:
        from huggingface_hub import HfApi

        check_repository(repo_id, option)
        self._api = HfApi(token=write_token(option))
        self._option, self.kept = option, kept
        with hub_errors(repo_id, kept, option):
            created = self._api.create_repo(repo_id, private=is_private, exist_ok=True)
        self.repo_id, self.url = str(created.repo_id), str(created)

    def push(self, folder: Path, message: str, tag: str | None = None) -> None:
        """Upload the files of a model folder, and tag that commit. Raises `OutputError` where that fails."""
        with hub_errors(self.repo_id, self.kept, self._option):
            commit = self._api.upload_folder(repo_id=self.repo_id, folder_path=str(folder), commit_message=message)
            if tag is not None:
                self._api.create_tag(self.repo_id, tag=tag, revision=commit.oid, exist_ok=True)


def tokens_tag(tokens: int) -> str:
    """`tokens-1.5B` for 1,500,000,000: exact, so that no two checkpoints share a tag."""
    factor, unit = next(((factor, unit) for factor, unit in UNITS if tokens >= factor), (1, ""))
    return f"tokens-{(Decimal(tokens) / factor).normalize():f}{unit}"
