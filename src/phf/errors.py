"""User errors, one class for each kind of remedy.

Every message says what was found, where (file, line, key) and what to do. The command line prints them without a
traceback. Our own broken invariants are `assert`s instead.
"""

AGAIN = "run the same command again (phf train: with --resume)"
"""What continues training that was ended, whichever command trains."""


class PhfError(ValueError):
    """Base class of everything that a user can fix."""

    exit_status = 2
    """Exit status of the command line."""
    is_shared = False
    """Whether every process of a job raises it, so that one of them shows it."""


class ConfigError(PhfError):
    """The configuration is wrong: edit the named key and run again."""


class SecretError(ConfigError):
    """A configuration or command line holds a secret, which is not shown: put it into an environment variable."""


class CorpusError(PhfError):
    """A corpus or dataset cannot be used in its present state: repair the named file and line, or choose another source."""


class ScorerError(PhfError):
    """A scorer broke its contract (wrong number of scores, NaN): fix the scorer; finished shards are kept."""


class ObjectiveError(PhfError):
    """An objective broke its contract (wrong shape, no logs): fix its class; checkpoints are kept."""


class MethodError(PhfError):
    """A document filter or conditioning broke its contract (tags out of range, wrong length): fix its class."""


class DivergedError(PhfError):
    """Training met a loss, gradient or weight that is not finite: change the settings; good checkpoints are kept."""

    exit_status = 3


class CheckpointError(PhfError):
    """A checkpoint is damaged, or of another run: use another one, restore it from a copy, or start from the beginning."""


class ModelError(PhfError):
    """A model produces no usable numbers (its logits are NaN): use another checkpoint, or train again."""


class PeerError(PhfError):
    """Another process of a distributed run has ended: see its message, then resume."""


class OutputError(PhfError):
    """The output cannot be written (full disk, read-only folder, another job's folder): nothing finished is lost."""


class ServerError(PhfError):
    """A model server did not give a usable answer: start or repair it, or correct its address, model or key.

    `status`: the HTTP status of its last answer; None if there was none. `reason`: what happened in a few words, to be
    counted; it quotes nothing.
    """

    def __init__(self, message: str, status: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason or ("no usable answer" if status is None else f"status {status}")


class MissingExtraError(PhfError):
    """An optional dependency is not installed: the message is the command that installs it."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs {package}. Install it with: pip install 'phf[{extra}]'")
