"""What every command says in the same way: errors, notes, and the exit code that goes with them."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from descscore.errors import DescscoreError
from descscore.printable import is_valid_unicode, printable
from descscore.strings import shortened

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SOME_FAILED = 1
WRONG = 2
INTERRUPTED = 130
TERMINATED = 143
DEFECT = 70

_OF_PATHS = ("FILE", "DIR", "IMAGE", "PATH", "RECIPE")
"""Words in the names of values that are paths, whose bytes may be any."""

_LESS_MEMORY = "lower --batch-size and give the command again, with --resume where it has that"

_OPTIONS: dict[str, str] = {}
"""The options of the command that runs, by the names of its arguments."""

# The library names an argument as `name`, whoever calls it.
_ARGUMENT = re.compile(r"`(\w+)`")

# What typer raises for wrong usage has no public name in all its versions; this is the class that
# knows `format_message`.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


class Terminated(KeyboardInterrupt):
    """SIGTERM, with which schedulers and containers stop a program: handled as Ctrl-C is."""


class CommandGroup(TyperGroup):
    """Commands whose errors are one line on stderr and exit code 2, however the group is called."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> NoReturn:
        """Run the command line and exit."""
        try:
            with _termination_raised():
                code = super().main(*args, standalone_mode=False, color=_coloured(), **extra)
        except typer.Abort as error:
            sys.exit(say_interrupted(error))
        except Exception as error:
            if (message := _message_of(error)) is not None:
                print_error(message)
                sys.exit(WRONG)
            if (stop := _interruption_behind(error)) is not None:
                sys.exit(say_interrupted(stop))
            # A defect of ours: its trace helps, and its exit code is that of no other outcome.
            traceback.print_exc()
            sys.exit(DEFECT)
        sys.exit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        """Run a command, or show the help without one; say that it was interrupted."""
        try:
            done = super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Exit(say_interrupted(error)) from None
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())
            raise typer.Exit(WRONG)
        return done

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of the group, flags without a value in the help."""
        return _flags_bare(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name, its flags without a value in the help."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _flags_bare(command.get_params(ctx))
            if not isinstance(command, CommandGroup):
                run = command.invoke
                command.invoke = lambda ctx: (_prepare(ctx), run(ctx))[1]
        return command


def print_line(text: str = "", *, stderr: bool = False, **style: Any) -> None:
    """Print text; control characters are escaped, so that no file's name reaches the terminal raw.

    Everything that a command prints goes through here or `print_rich`.
    """
    typer.secho(printable(text), err=stderr, color=_coloured(), **style)


def print_rich(content: RenderableType, console: Console) -> None:
    """Print what rich lays out, control characters in its text escaped."""
    console.print(_Printable(content))


class _Printable:
    def __init__(self, content: RenderableType) -> None:
        self.content = content

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.segment import Segment

        for text, style, control in console.render(self.content, options):
            yield Segment(text if control else printable(text), style, control)


def print_json(value: object) -> None:
    """Print one JSON value on stdout."""
    from descscore.strict_json import dump

    typer.echo(dump(value))


def print_error(message: str) -> None:
    """Print an error as one line on stderr."""
    _say("Error:", message, "red")


def say_interrupted(error: BaseException, then: str = "") -> int:
    """Say what ended a command from outside.

    Args:
        error: KeyboardInterrupt, or what typer makes of it.
        then: how far the command came and how to resume it.

    Returns:
        The exit code, 128 and the signal's number.
    """
    terminated = isinstance(error, Terminated)
    print_error(("terminated" if terminated else "interrupted") + then)
    return TERMINATED if terminated else INTERRUPTED


@contextmanager
def interruption_reported(then: str | Callable[[], str]) -> Iterator[None]:
    """When interrupted, say so and what came of it, and exit.

    Args:
        then: as for `say_interrupted`, or a function that gives it.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        said = then if isinstance(then, str) else then()
        raise typer.Exit(say_interrupted(error, said)) from None


def _interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption that became another error, as one in the body of a class does."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def _termination_raised() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM, unless this process handles or ignores it otherwise."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def raise_it(*_: object) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, raise_it)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def print_note(message: str) -> None:
    """Print a note, which is no error, as one line on stderr."""
    _say("Note:", message, "yellow")


@contextmanager
def warnings_as_notes(*, shown: bool) -> Iterator[None]:
    """Say warnings as notes, without the line of code that they come from, or not at all."""

    def say(message: Warning | str, *_: object) -> None:
        if shown:
            print_note(str(message))

    with warnings.catch_warnings():
        # Pillow's, of an image that is then refused by name.
        warnings.filterwarnings("ignore", r"Image size \(\d+ pixels\) exceeds limit")
        warnings.showwarning = say
        yield


def _say(label: str, message: str, colour: str) -> None:
    message = _ARGUMENT.sub(lambda found: _OPTIONS.get(found[1], found[0]), message)
    print_line(label, stderr=True, fg=colour, bold=True, nl=False)
    print_line(f" {' '.join(message.split())}", stderr=True)


def _prepare(context: Any) -> None:
    """Know the options by the arguments that messages name; refuse bytes that are no text in them.

    Paths may have any bytes.
    """
    given = [each for each in context.command.params if each.param_type_name == "option"]
    _OPTIONS.clear()
    _OPTIONS.update({each.name: max(each.opts, key=len) for each in given})
    for parameter in context.command.params:
        value = context.params.get(parameter.name)
        metavar = (parameter.metavar or "").strip(".")
        of_path = metavar in {"A", "B"} or any(word in metavar for word in _OF_PATHS)
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and not of_path and not is_valid_unicode(text):
                # The libraries that read a checkpoint take no such path.
                remedy = "rename it" if os.path.lexists(text) else "check the terminal's encoding"
                raise typer.BadParameter(
                    f"{shortened(repr(text), 100)} is not valid UTF-8; {remedy}",
                    ctx=context,
                    param=parameter,
                )


def _coloured() -> bool | None:
    """False where NO_COLOR is set (no-color.org), else None: coloured in a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def _flags_bare(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters


def _message_of(error: Exception) -> str | None:
    """What to say of an error that is no defect; None of others."""
    if isinstance(error, USAGE_ERROR):
        return _usage_message(error)
    if isinstance(error, OSError) and not isinstance(error, DescscoreError):
        return f"{error.filename}: " * bool(error.filename) + (error.strerror or str(error))
    if isinstance(error, MemoryError):
        return f"out of memory; {_LESS_MEMORY}"
    if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, which need not be loaded
        return f"out of memory on the device; {_LESS_MEMORY}"
    return str(error) if isinstance(error, DescscoreError) else None


def _usage_message(error: Any) -> str:
    message = error.format_message().rstrip(".")
    if hasattr(error.__cause__, "errors"):  # pydantic's, by which newer versions of typer check
        value = error.__cause__.errors()[0]["input"]
        message = message.replace("Value error, ", "")
        message = message.replace("Input should be", f"{value!r} should be")
    path = error.ctx.command_path if getattr(error, "ctx", None) else "descscore"
    return f"{message}; see {path} --help"
