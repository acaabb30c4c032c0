"""Writing to the Hugging Face Hub: the token, the name of a repository, and what is said when the Hub does not answer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from phf.errors import ConfigError, OutputError, SecretError
from phf.storage.hub import NOT_OF_THE_HUB
from phf.storage.secrets import ADVICE, has_login

TOKEN = "HF_TOKEN"
PUSH_TO_HUB = "--push-to-hub"


def write_token(option: str = PUSH_TO_HUB) -> str:
    """The token of $HF_TOKEN, which `option` needs. Raises `ConfigError` without one."""
    token = os.environ.get(TOKEN)
    if not token:
        raise ConfigError(
            f"{option} needs a token with write access in the environment variable {TOKEN}. "
            "Make one at https://huggingface.co/settings/tokens."
        )
    return token


def check_repository(repo_id: str, option: str = PUSH_TO_HUB) -> None:
    """Raises `ConfigError` if `repo_id` cannot be the name of a repository; one that has a password in it is not shown.
    The Hub is not asked."""
    from huggingface_hub.utils import validate_repo_id

    if has_login(repo_id):
        raise SecretError(
            f"{option} is not the name of a repository, and holds a user name and password; {ADVICE} "
            "The name of a repository is OWNER/NAME."
        )
    with hub_errors(repo_id, "", option):
        validate_repo_id(repo_id)


@contextmanager
def hub_errors(repo_id: str, kept: str, option: str = PUSH_TO_HUB) -> Iterator[None]:
    """Report what went wrong without repeating what was sent. `kept`: a sentence on what is there, and how to upload it."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    try:
        yield
    except HFValidationError as error:
        raise ConfigError(
            f"{option} {repo_id}: is not the name of a repository: {str(error).splitlines()[0]}"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise OutputError(
                f"The Hub refused to write {repo_id} (HTTP {status}): the token in {TOKEN} is not valid or may not write "
                f"there. {kept}"
            ) from None
        raise OutputError(f"The Hub answered HTTP {status} while {repo_id} was uploaded. {kept}") from None
    except (OfflineModeIsEnabled, HTTPError, ConnectionError) as error:
        reason = "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else type(error).__name__
        raise OutputError(f"The Hub cannot be reached ({reason}), so {repo_id} was not uploaded. {kept}") from None
    except (JSONDecodeError, KeyError):
        raise OutputError(f"The Hub's answer {NOT_OF_THE_HUB}, so {repo_id} was not uploaded. {kept}") from None
