"""Secrets do not belong in configurations, which are saved with every run and published: they are refused unseen.

Known shapes of keys, passwords in URLs, and values of keys that are called after a secret. Precise rather than complete:
hashes, revisions, paths and texts are none of these.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

from phf.errors import SecretError

ADVICE = (
    "secrets are not kept in configurations, and it is not shown. Put it into an environment variable: HF_TOKEN for the Hub, "
    "or the one that api_key_env names for a server."
)
_SHAPES = re.compile(
    r"""(?<![A-Za-z0-9_-])(?:
      hf_(?![0-9a-f]+(?![A-Za-z0-9]))[A-Za-z0-9]{20,}    # Hugging Face; a hash in hexadecimal digits is not one
    | api_org_[A-Za-z0-9]{20,}
    | sk-(?:[a-z0-9]{2,10}-)*(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]*[A-Za-z0-9]{16}[A-Za-z0-9_-]*    # OpenAI, Anthropic, OpenRouter
    | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}        # Stripe
    | (?:gsk|nvapi|xai|pplx|fw|r8|tgp_v1|csk|wandb_v1|dckr_pat|dop_v1)[_-](?=[A-Za-z_-]*[0-9])(?:[A-Za-z0-9_-]{20,})
    | AIza[A-Za-z0-9_-]{35}                              # Google
    | (?:AKIA|ASIA)[A-Z0-9]{16}                          # Amazon
    | gh[oprsu]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{22,}
    | glpat-[A-Za-z0-9_-]{20,}
    | xox[abeoprs]-[A-Za-z0-9-]{10,}                     # Slack
    | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,}
    | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.     # a JSON Web Token
    )""",
    re.VERBOSE,
)
_IN_TEXT = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----|^\s*(?:authorization:\s*)?(?:bearer|basic)\s+\S{12,}\s*$", re.I
)
_IN_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@]*:[^\s/?#@]+@"
    r"|[?&#](?:x-amz-signature|x-goog-signature|sig|signature|token|access_token|api[_-]?key|key|password"
    r"|passwd|pwd|secret|client_secret|auth|jwt|(?:access|subscription)[_-]?key|x-amz-security-token|x-goog-credential)=[^\s&]{8,}"
    r"|[?&#]code=(?=[^\s&]*[0-9])[^\s&]{16,}",  # of a function of Azure, for example; a short one may be of a language
    re.IGNORECASE,
)
_NAMES = re.compile(
    r"(?:^|[._-])(?:(?:api|access|secret|private|account)[_-]?key|password|passwd|passphrase|secret|credentials?"
    r"|(?:auth|access|api|hub|hf|hugging_?face|bearer|refresh|github|wandb)[_-]?token|authorization)$",
    re.IGNORECASE,
)
"""Keys that hold a secret, and nothing else."""
_TOKEN = re.compile(r"(?:^|[._-])token$", re.IGNORECASE)
"""Keys that may hold a secret, or a token of a text."""
_ASSIGNMENT = re.compile(r"([\w.-]+)=(?=([^\s,;]+))")
"""Name and value, of which several may be in one word: --export=ALL,HF_TOKEN=..."""
_OPAQUE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_.-]{16,}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOGIN = re.compile(r"[^\s/:@]+:[^\s:@]+@")
"""User name and password, as before the host of an address without a scheme."""
KEY_PREFIXES = ("hf_", "sk_", "gsk_", "nvapi_", "xai_")
"""Keys of providers that could be names of environment variables begin like this; those with other characters cannot be."""
PART_CHARS = 8
"""Of a secret that are not shown on their own either; fewer may be a word of the text."""
LONGEST_WORD = 20
"""Characters without an underscore in the name of an environment variable that is not written in capitals."""


def is_secret(text: str) -> bool:
    """Whether a text is, or contains, what looks like a credential. A text of several words is one only as a whole."""
    if len(text.split()) > 1:
        return _IN_TEXT.search(text) is not None
    return (_SHAPES.search(text) or _IN_URL.search(text) or _IN_TEXT.search(text)) is not None


def has_login(text: str) -> bool:
    """Whether a text has, like user:password@host, a password in it: only for what cannot hold both signs, such as a name."""
    return _LOGIN.search(text) is not None


def redacted(text: str) -> str:
    """The text with *** for whatever in it has the shape of a credential."""
    for shape in (_SHAPES, _IN_URL):
        text = shape.sub("***", text)
    return text


def without_parts(text: str, secrets: Iterable[str]) -> str:
    """The text with *** for every part of at least `PART_CHARS` characters of a secret, as a server quotes one across lines."""
    hidden = bytearray(len(text))
    for secret in secrets:
        for start in range(len(secret) - PART_CHARS + 1):
            part, at = secret[start : start + PART_CHARS], -1
            while (at := text.find(part, at + 1)) >= 0:
                hidden[at : at + PART_CHARS] = b"\1" * PART_CHARS
    runs = groupby(zip(text, hidden, strict=True), key=lambda pair: pair[1])
    return "".join("***" if is_part else "".join(letter for letter, _ in run) for is_part, run in runs)


def is_name_of_variable(text: str) -> bool:
    """Whether a text is the name of an environment variable, rather than the key that is in one."""
    if not _VARIABLE.fullmatch(text) or text.startswith(KEY_PREFIXES) or is_secret(text):
        return False
    words = [word for word in text.split("_") if len(word) >= LONGEST_WORD]
    return all(word.isupper() and not any(digit in word for digit in "0123456789") for word in words)


def refuse_secrets(values: Any, where: str) -> None:
    """Raises `SecretError`, which names the key and does not show its value, for the first secret among plain values."""
    for key, problem in _problems(values, "", ""):
        raise SecretError(f"{where}: {key}{problem}; {ADVICE}")


def refuse_secrets_of_command(words: Sequence[str], where: str) -> None:
    """As `refuse_secrets`, for the words of a command: also a variable (HF_TOKEN=...) or option (--password ...) that is
    called after a secret. A value that begins with $ is one that a shell reads from elsewhere."""
    options = [(word, value) for word, value in pairwise(words) if word.startswith("-") and not value.startswith("-")]
    for name, value in [*options, *(pair for word in words for pair in _ASSIGNMENT.findall(word))]:
        if not value.startswith("$"):
            refuse_secrets({name.lstrip("-"): value}, where)
    refuse_secrets([part for word in words for part in word.split()], where)


def _problems(value: Any, path: str, key: str) -> Iterator[tuple[str, str]]:
    shown = f"'{path}' " if path else "it "
    if isinstance(value, dict):
        for inner, item in value.items():
            if is_secret(str(inner)):
                yield shown, "has a key that looks like a credential"
                return
            yield from _problems(item, f"{path}.{inner}" if path else str(inner), str(inner))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _problems(item, f"{path}.{number}" if path else f"argument {number + 1}", key)
    elif isinstance(value, str) and value.strip():
        if key.endswith("_env"):
            if not is_name_of_variable(value):
                yield shown, "is not the name of an environment variable, and may be the key itself"
        elif _IN_URL.search(value) and is_secret(value):
            yield shown, "holds a user name or password, or a signature, in an address"
        elif is_secret(value) or (_TOKEN.search(key) and _OPAQUE.fullmatch(value)):
            yield shown, "looks like a credential"
        elif _NAMES.search(key):
            yield shown, "is a secret by its name"
