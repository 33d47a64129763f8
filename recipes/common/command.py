"""How a study's command line ends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Literal

import typer

from codec.errors import CodecError, UsageError

SizeName = Literal["quick", "reduced", "full"]
Quick = Annotated[bool, typer.Option("--quick", help="Seconds, to see that it works.")]
Report = Annotated[bool, typer.Option("--report", help="Write the report of the finished runs alone.")]


def run_command(main: Callable[..., None]) -> None:
    """Run a function as a typer command; a `CodecError` ends it with its sentence and its exit code."""

    @functools.wraps(main)
    def guarded(*args: object, **options: object) -> None:
        try:
            main(*args, **options)
        except CodecError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error

    typer.run(guarded)


def size_name(quick: bool, full: bool) -> SizeName:
    """Which size of a study the options ``--quick`` and ``--full`` choose.

    Raises:
        UsageError: both are given.
    """
    if quick and full:
        raise UsageError("--quick and --full exclude each other")
    return "quick" if quick else "full" if full else "reduced"
