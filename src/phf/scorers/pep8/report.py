"""The report that pycodestyle writes to."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Violations:
    """The report of a Checker: keeps (line from 1, column from 0, code) of each violation, and nothing else."""

    ignored: tuple[str, ...]
    violations: list[tuple[int, int, str]] = field(default_factory=list)

    def init_file(self, filename: str, lines: list[str], expected: Any, line_offset: int) -> None:
        """Called once, before the first line."""

    def increment_logical_line(self) -> None:
        """Called for each logical line."""

    def error(self, line_number: int, offset: int, text: str, check: Any) -> None:
        """Called for each violation, those that pycodestyle ignores by default included."""
        code = text[:4]
        if not code.startswith(self.ignored):
            self.violations.append((line_number, offset, code))

    def get_file_results(self) -> int:
        """Called once, after the last line."""
        return len(self.violations)
