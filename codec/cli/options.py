"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOfStream = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Name or folder of the model; by default the one that IN names.",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="IN and OUT are folders: take all files below IN and keep the tree."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Files at once with -r; by default one a processor.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object instead of sentences."),
]
