"""The `gliodex` command: thin, no science."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated

import typer
from typer.exceptions import TyperException

from ..errors import GliodexError, flagged
from ..store.stopping import exit_code, stopping_in_order
from .commands import Group
from .console import complain, show_any_name

app = typer.Typer(
    name="gliodex",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("gliodex"))
        raise typer.Exit


@app.callback()
def gliodex(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Personalize brain-tumor growth models by querying a store of simulated tumors.

    Research software, not a medical device.
    """


def main() -> None:
    """Run the command line: exit code 0 done, 2 the input or options are wrong, 1 a fault of the program.

    Where a signal ends it, the code is 128 plus the number of the signal: 130 control-C, 143 SIGTERM, 129 SIGHUP.
    """
    show_any_name()
    sys.exit(_run(sys.argv[1:] or ["--help"]))


def _run(arguments: list[str]) -> int:  # noqa: PLR0911 - one for each way it can end
    arguments = _renamed(arguments)
    command = typer.main.get_command(app)
    try:
        with stopping_in_order(), command.make_context("gliodex", arguments) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except GliodexError as error:
        return _refuse(flagged(error.text))
    except TyperException as error:
        return _refuse(f"{error.format_message().rstrip('.')}. See `gliodex --help` and `gliodex COMMAND --help`.")
    except KeyboardInterrupt as stop:
        complain("stopped; the same command goes on where it was", "yellow")
        return exit_code(stop)
    except typer.Abort:
        complain("stopped; the same command goes on where it was", "yellow")
        return exit_code(KeyboardInterrupt())
    except BrokenPipeError:  # whoever read our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _refuse(_place(error)) if _is_a_place(error) else _fault(error)
    except Exception as error:  # the last door: a fault of ours is said, and not as a traceback
        return _fault(error)
    return 0


_RENAMED = {"--core": "--core-labels", "--whole": "--whole-labels", "--method": "--index"}
_MOVED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("history",): ("versions",),
    ("plausibility",): ("bench", "plausibility"),
    ("bench", "refine"): ("bench", "refinement"),
    **{("train", kind): ("train", "encoder", kind) for kind in ("ae", "vae", "hash")},
}
"""Earlier spellings of options and commands, which keep working."""


def _renamed(arguments: list[str]) -> list[str]:
    for words in (2, 1):
        if moved := _MOVED.get(tuple(arguments[:words])):
            arguments = [*moved, *arguments[words:]]
    if arguments[:1] not in (["query"], ["index"], ["forecast"]):
        return arguments
    parts = (argument.partition("=") for argument in arguments if argument != "--no-keep")  # which is the default
    return [_RENAMED.get(name, name) + equals + value for name, equals, value in parts]


_FULL = {errno.ENOSPC, errno.EDQUOT}
_PLACES = _FULL | {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTEMPTY, errno.EXDEV, errno.EFBIG, errno.ESTALE, errno.EIO, errno.ENXIO),
}
"""What can be wrong with a path that a user names, and not with the program."""


def _is_a_place(error: OSError) -> bool:
    """Whether an error is one of a path of the user's, or of a full disk, which names none where a write fails."""
    return error.errno in _FULL or (error.errno in _PLACES and isinstance(error.filename, str | bytes))


def _place(error: OSError) -> str:
    named = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{' and '.join(named) or 'cannot write'}: {(error.strerror or str(error)).lower()}; choose another place"


def _fault(error: Exception) -> int:
    if os.environ.get("GLIODEX_DEBUG"):
        traceback.print_exc()
    said = f"{type(error).__name__}: {error}"
    complain(f"fault in gliodex: {said}. Please report it; GLIODEX_DEBUG=1 shows where.", "bold red")
    return 1


def _refuse(message: str) -> int:
    complain(f"error: {message}", "bold red")
    return 2


if __name__ == "__main__":
    main()
