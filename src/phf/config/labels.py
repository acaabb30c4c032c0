"""Short names of what a run trains, for its folder, for pages and for experiment trackers."""

from pathlib import Path

from phf.config.schema import Config


def run_labels(config: Config) -> list[str]:
    """Task, size and method, as far as there are any: [pii-emails, tiny, conditional]; a file is called by its name alone."""
    return [_short(source) for source in (config.task, config.size, config.method) if source]


def method_label(method: str) -> str:
    """What people read: pep8/awr for a shipped method, mine for the file configs/mine.yml."""
    path = Path(method)
    return path.stem if path.suffix in (".yml", ".yaml") else method


def _short(source: str) -> str:
    """pep8-pretrain for pep8/pretrain, my_task for configs/my_task.yml."""
    return method_label(source).replace("/", "-")
