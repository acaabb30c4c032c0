"""The questions of `phf label` in a terminal, for machines without a browser."""

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from phf.errors import CorpusError
from phf.labels.journal import Session
from phf.labels.page import NOT_SAVED, buttons, parse_answer, title
from phf.text import visible_text

QUIT = "q"


def ask_in_terminal(session: Session, console: Console, read_line: Callable[[], str]) -> None:
    """Ask until all questions are answered, or the annotator types `q` or ends the input.

    `read_line`: returns what was typed, or raises `EOFError` at the end. Raises `CorpusError` for what cannot be decoded.
    """
    choices = ", ".join(
        button.label if button.label.startswith(button.value) else f"{button.key}: {button.label}"
        for button in buttons(session)
    )
    while (question := session.current) is not None:
        console.print(
            Text(f"\n{title(session)} ({session.num_done + 1:,} of {len(session.questions):,})", style="bold")
        )
        for name, segment in zip("AB", question.segments, strict=False):
            if session.kind == "pairs":
                console.print(Text(f"--- {name} ---", style="dim"))
            console.print(Text(visible_text(segment.text)), soft_wrap=True)
        while True:
            console.print(Text(f"[{choices}, {QUIT}: quit] ", style="dim"), end="", soft_wrap=True)
            try:
                typed = read_line().strip().lower()
            except EOFError:
                return
            except UnicodeDecodeError as error:
                raise CorpusError("What was typed is not UTF-8. Set the encoding of the terminal to UTF-8.") from error
            if typed == QUIT:
                return
            answer = parse_answer(session, typed)
            if answer is not None:
                if not session.answer(question.key, answer):
                    console.print(Text(NOT_SAVED, style="yellow"))
                break
            console.print(Text(f"{visible_text(typed)!r} is not one of the answers.", style="yellow"))
