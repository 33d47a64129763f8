"""The `codec` command: its verbs, errors as one sentence, exit codes."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import codec
from codec.cli.console import say
from codec.cli.decode import decode
from codec.cli.encode import encode
from codec.cli.evaluate import evaluate
from codec.cli.failures import explain
from codec.cli.info import info
from codec.cli.signals import Interrupted
from codec.cli.train import train
from codec.cli.transcode import transcode

# A verb is a function that returns the exit code; what is heavy it imports when it runs.
VERBS = (encode, decode, transcode, info, train, evaluate)

app = typer.Typer(
    name="codec",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in VERBS:
    _paragraphs = (inspect.getdoc(_verb) or "").split("\n\n")
    # The terminal breaks the lines, at its own width.
    app.command(help="\n\n".join(" ".join(text.split()) for text in _paragraphs))(_verb)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Code sound into a few kbit/s and back.

    Exit codes: 0 done; 1 bad data or a failed operation; 2 bad usage; 130 and 143 ended by SIGINT, SIGTERM.

    An error is one line on standard error; CODEC_DEBUG=1 shows the traceback behind it.
    """
    if version:
        print(f"codec {codec.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, that of the process by default, and return its exit code."""
    # numpy reads it when it is imported. Its matrix products are small here: a second thread would only spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = _invoke(sys.argv[1:] if arguments is None else list(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_stdout()
        return 0
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        if os.environ.get("CODEC_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        sentence, code = explain(error)
        say(f"codec: error: {sentence}")
        return code


def _invoke(arguments: list[str]) -> int:
    """Run the verb without typer's own error handling, which draws boxes and ends the process."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("codec", arguments) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as end:
        return end.exit_code


def _discard_stdout() -> None:
    """The reader of standard output has gone: what is buffered must not raise again when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
