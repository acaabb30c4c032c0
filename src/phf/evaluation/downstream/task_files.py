"""Task files of lm-evaluation-harness as data: the harness itself would run the functions, templates and metrics they name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phf.errors import ConfigError

LEAVE = "Read it, and if you trust it, allow this on the command line: --override downstream.allow_code_execution=true."


@contextmanager
def task_files_as_data() -> Iterator[None]:
    """In this block the harness runs nothing that a task file names unless the harness ships it.

    Raises `ConfigError` for a task file that names Python functions or a metric that is a program. The harness's
    templates are run in jinja2's sandbox from then on.
    """
    import lm_eval.api.task
    import lm_eval.utils
    from lm_eval.tasks import _yaml_loader

    _use_sandbox(lm_eval.utils)
    shipped = Path(lm_eval.__file__).resolve().parent
    import_function, get_metric = _yaml_loader._import_func_in_yml, lm_eval.api.task.get_metric

    def import_shipped(name: str, folder: Path) -> Any:
        if not Path(folder).resolve().is_relative_to(shipped):
            raise ConfigError(f"downstream: a task file in {folder} runs Python code ({name}). {LEAVE}")
        return import_function(name, folder)

    def named_metric(name: str, *arguments: Any) -> Any:
        if "/" in str(name) or Path(str(name)).exists():
            raise ConfigError(f"downstream: the metric {name} of a task file is a program. {LEAVE}")
        return get_metric(name, *arguments)

    _yaml_loader._import_func_in_yml, lm_eval.api.task.get_metric = import_shipped, named_metric  # type: ignore[assignment]
    try:
        yield
    finally:
        _yaml_loader._import_func_in_yml, lm_eval.api.task.get_metric = import_function, get_metric


def _use_sandbox(utils: Any) -> None:
    from jinja2.sandbox import SandboxedEnvironment

    if isinstance(utils.env, SandboxedEnvironment):
        return
    before = utils.env
    utils.env = SandboxedEnvironment(
        loader=before.loader, undefined=before.undefined, keep_trailing_newline=before.keep_trailing_newline
    )
    utils.env.filters.update(before.filters)
