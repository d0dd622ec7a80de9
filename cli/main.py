"""The `gliodex` command: thin, no science."""

from __future__ import annotations

import os
import sys
import traceback

import typer
from typer.exceptions import Abort, TyperException

from ..errors import GliodexError
from . import build, demo, query, stores
from .console import errors

app = typer.Typer(
    name="gliodex",
    help="Personalise brain-tumour growth models by querying a store of simulated tumours.\n\n"
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("demo")(demo.demo)
app.command("build")(build.build)
app.command("query")(query.query)
app.command("info")(stores.info)
app.command("index")(stores.index)
app.command("verify")(stores.verify)
app.command("gc")(stores.gc)


def main() -> None:
    """Run the command line: exit code 0 done, 2 the input or options are wrong, 1 a fault of the program."""
    try:
        code = app(standalone_mode=False)
    except GliodexError as error:
        code = _refuse(str(error))
    except TyperException as error:
        code = _refuse(f"{error.format_message()} See `gliodex --help` and `gliodex COMMAND --help`.")
    except (KeyboardInterrupt, Abort):
        _say("stopped; the same command goes on where it was", "yellow")
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if os.environ.get("GLIODEX_DEBUG"):
            traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        _say(f"fault in gliodex: {said}. Please report it; GLIODEX_DEBUG=1 shows where.", "bold red")
        code = 1
    sys.exit(code or 0)


def _refuse(message: str) -> int:
    _say(f"error: {' '.join(message.split())}", "bold red")
    return 2


def _say(line: str, style: str) -> None:
    errors.print(line, style=style, highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
