"""The group of the commands: their order, options given twice, and how a mistake or an interruption ends."""

import errno
import re
import signal
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from phf.cli.annotate import workers_ahead
from phf.cli.blame import set_by
from phf.cli.file_names import refuse_undecodable
from phf.cli.for_scripts import answer_error, answering
from phf.cli.terminal import errors, show_error, shown
from phf.errors import PhfError, SecretError
from phf.storage.secrets import refuse_secrets
from phf.workers.interruption import SIGPIPE, StoppedError, Terminated, exit_status, output_closed
from phf.workers.launcher import check_alone, rank, shows

AGAIN = "Run the same command again to continue."
KEPT = {
    "annotate": f"Finished shards are kept. {AGAIN}",
    "train": "Checkpoints are kept. Add --resume to continue from the last one.",
    "evaluate": f"Finished parts are kept. {AGAIN}",
    "redteam": f"Finished rounds are kept. {AGAIN}",
    "refresh": f"Finished rounds and checkpoints are kept. {AGAIN}",
    "audit": "An encoded corpus is kept. Run the same command again.",
    "quickstart": f"Finished work is kept. {AGAIN}",
    "study": f"Finished runs and checkpoints are kept. {AGAIN}",
    "tamper": f"Finished finetunings, and checkpoints of the others, are kept. {AGAIN}",
    "label": "Every answer is saved. Run the same command again to continue.",
    "reward": "The output is whole if it is there; if not, run the same command again.",
    "export": "The output is whole if it is there; if not, run the same command again.",
    "profile": "Run the same command again.",
    "report": "Run the same command again.",
    "playground": "The page is closed.",
}
"""Command -> what an interruption leaves behind."""
TAKES_OVERRIDES = ("train", "refresh", "evaluate", "redteam", "study", "tamper")
"""The commands among whose arguments KEY=VALUE is an override."""
SHOWS_ONLY = ("score", "list", "quickstart")
"""The commands that do not write what they are given: the others record their command line."""
OF_AN_AGENT = re.compile(r"^--(\w+(?:\.\w+)+=)")
"""How the agent of a sweep (Weights & Biases) writes an override; options have no dot in their names."""
ALONE = ("annotate", "label", "playground", "reward", "redteam", "audit", "refresh", "quickstart", "study", "tamper")
"""The commands that run in one process, whose children they start themselves."""

RENAME, ASK = "Give another path, or a shorter one.", "Give another path, or change who may read and write it."
MAKE_ROOM, RAISE = "Make room, or give another path.", "Raise the limit (ulimit -n), and run again."
REFUSED = {
    errno.ENAMETOOLONG: RENAME,
    errno.ELOOP: RENAME,
    errno.EACCES: ASK,
    errno.EPERM: ASK,
    errno.EROFS: ASK,
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EMFILE: RAISE,
    errno.ENFILE: RAISE,
}
"""What an operating system refuses wherever a file is looked for, read or written -> what to do: no defects of `phf`."""
ARGUMENTS = "phf.arguments"
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""A mistake in the command line; typer has no public name for the class."""


class Group(TyperGroup):
    """Commands in the order in which they are added, those with subcommands at the end."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=lambda name: isinstance(self.commands[name], TyperGroup))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As for any group; an option that is given twice is refused, since all but the last value would be ignored."""
        name, command, rest = super().resolve_command(ctx, args)
        if ctx.resilient_parsing:  # a shell asks what could come next
            return name, command, rest
        if name not in SHOWS_ONLY:
            refuse_secrets(rest, f"phf {name}")
        refuse_undecodable(name or "", rest)
        if command is not None:
            _, parameters = _parsed(ctx, name, command, rest)
            parameter: Any
            for parameter in parameters:
                takes_one = parameter.param_type_name == "option" and not parameter.multiple and not parameter.is_flag
                if takes_one and parameters.count(parameter) > 1:
                    ctx.fail(f"{parameter.opts[0]} is given {parameters.count(parameter)} times; it takes one value.")
        if name in ALONE:
            check_alone(name)
        ctx.obj = tuple(rest)  # parsing consumes the list itself
        return name, command, rest


class Commands(Group):
    """The commands. A user's mistake ends in one message and its status; an interruption in a message and 130, 143 for SIGTERM,
    138 for SIGUSR1, 129 for SIGHUP, 141 for a closed output, or 75 if its state was saved because of the signal."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        ctx.meta[ARGUMENTS] = tuple(args)
        if args[:1] and args[0] in TAKES_OVERRIDES:
            args = [args[0], *(OF_AN_AGENT.sub(r"\1", argument, count=1) for argument in args[1:])]
        try:
            if args[:1] == ["annotate"] and not ctx.resilient_parsing:
                # before anything is converted to its type, for which much is imported
                options, _ = _parsed(ctx, args[0], self.commands[args[0]], args[1:])
                ctx.with_resource(workers_ahead(options))
            return super().parse_args(ctx, args)
        except KeyboardInterrupt as error:
            show_interruption(error, args[0] if args else "")
            raise typer.Exit(exit_status(error)) from None
        except OSError as error:
            raise _refused(error, ctx.meta[ARGUMENTS]) from None

    def invoke(self, ctx: Any) -> Any:
        arguments = ctx.meta[ARGUMENTS]
        with answering():
            try:
                return super().invoke(ctx)
            except USAGE_ERROR as error:
                answer_error(error.format_message(), error.exit_code, arguments)  # type: ignore[attr-defined]
                raise
            except PhfError as error:
                is_blamed = ctx.invoked_subcommand in TAKES_OVERRIDES and not isinstance(error, SecretError)
                overrides = ctx.obj or () if is_blamed else ()
                message = str(error) + set_by(str(error), overrides)
                try:
                    is_ours = shows(error, message)
                except KeyboardInterrupt:
                    is_ours = True  # a launcher ends this process while it asks the others: the reason is not lost
                if is_ours:
                    show_error(message)
                answer_error(message, error.exit_status, arguments)
                raise typer.Exit(error.exit_status) from None
            except BrokenPipeError:  # of the JSON object, which is not written by a console
                raise typer.Exit(exit_status(_unread())) from None
            except OSError as error:
                raise _refused(error, arguments) from None
            except KeyboardInterrupt as error:
                show_interruption(error, ctx.invoked_subcommand or "")
                answer_error(_ending(error, ctx.invoked_subcommand or ""), exit_status(error), arguments)
                raise typer.Exit(exit_status(error)) from None


def show_interruption(error: KeyboardInterrupt, command: str) -> None:
    """Say what ended a command, and what is kept; only one process of a launcher does."""
    is_unread = isinstance(error, Terminated) and error.signum == SIGPIPE
    if rank() == 0 and not (is_unread and command not in KEPT):  # as `phf list | head` is meant to end
        errors.print(shown(_ending(error, command)), soft_wrap=True)


def _parsed(ctx: Any, name: str | None, command: Any, arguments: list[str]) -> tuple[dict[str, Any], list[Any]]:
    """(options of a command as text, its parameters in the order in which they are given)."""
    parser = command.make_parser(command.context_class(command, info_name=name, parent=ctx))
    options, _, parameters = parser.parse_args(args=list(arguments))
    return options, parameters


def _unread() -> KeyboardInterrupt:
    """What ends a command whose output is not read any more."""
    try:
        output_closed(1)
    except KeyboardInterrupt as error:
        return error
    return Terminated(SIGPIPE)


def _refused(error: OSError, arguments: Sequence[str]) -> typer.Exit:
    """The end of a command to which the operating system refused something, when that is shown. Raises another error."""
    if error.errno not in REFUSED:
        raise error
    what = "A file, or standard output," if error.filename is None else str(error.filename)
    message = f"{what} cannot be used: {error.strerror}. {REFUSED[error.errno]}"
    show_error(message)
    answer_error(message, PhfError.exit_status, arguments)
    return typer.Exit(PhfError.exit_status)


def _ending(error: KeyboardInterrupt, command: str) -> str:
    """What ended a command, and what is kept."""
    if isinstance(error, StoppedError):
        return str(error)
    how = f"Ended by {signal.Signals(error.signum).name}" if isinstance(error, Terminated) else "Interrupted"
    if isinstance(error, Terminated) and error.signum == SIGPIPE:
        how = "Ended, since the program that reads the output has ended"
    return f"{how}. {KEPT.get(command, AGAIN)}"
