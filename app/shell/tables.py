"""One table of figures, as the shell prints or writes it: for people, or as CSV, Markdown or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import polars as pl
import typer

from app.shell.output import JsonFlag, note, print_table
from iisan_core.errors import RefusedError
from iisan_core.experiments.tables import as_markdown, with_spread
from iisan_core.files import write_text

Form: TypeAlias = Literal["people", "csv", "markdown", "json"]
CsvFlag = Annotated[bool, typer.Option("--csv", help="Print the table as CSV, all figures in full.")]
MarkdownFlag = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write the CSV, Markdown or JSON there instead.")]
__all__ = ["CsvFlag", "Form", "JsonFlag", "MarkdownFlag", "OutOption", "chosen_form", "for_people", "show"]


def chosen_form(*, csv: bool, markdown: bool, as_json: bool, out: Path | None) -> Form:
    """The form that the flags ask for; raises `RefusedError` for two at once, or a file without a form."""
    chosen: list[Form] = [form for form, flag in _flags(csv, markdown, as_json) if flag]
    if len(chosen) > 1:
        raise RefusedError("give one of --csv, --markdown, --json: one call prints one table in one form")
    if out is not None and not chosen:
        raise RefusedError(f"--out {out}: say in which form, with --csv, --markdown or --json")
    return chosen[0] if chosen else "people"


def show(table: pl.DataFrame, *, form: Form, out: Path | None, hidden: tuple[str, ...] = (), title: str = "") -> None:
    """Print `table`, or write it to `out`; people are spared the columns `hidden`."""
    if form == "people":
        shown = for_people(table, hidden=hidden)
        print_table([name.replace("_", " ") for name in shown.columns], shown.iter_rows(), title=title)
        return
    text = _as_text(table, form, hidden)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        note(f"wrote {out}")


def for_people(table: pl.DataFrame, *, hidden: tuple[str, ...] = ()) -> pl.DataFrame:
    """The same figures to be read: with their spread in one cell, sizes in MiB, without the columns `hidden`."""
    return _in_megabytes(with_spread(table).drop(hidden, strict=False))


def _in_megabytes(table: pl.DataFrame) -> pl.DataFrame:
    """Sizes as people read them; CSV and JSON keep bytes."""
    sizes = [name for name in table.columns if name.endswith("_bytes")]
    return table.with_columns((pl.col(sizes) / 2**20).round().cast(pl.Int64)).rename(
        {name: name.removesuffix("bytes") + "MiB" for name in sizes}
    )


def _as_text(table: pl.DataFrame, form: Form, hidden: tuple[str, ...]) -> str:
    if form == "csv":
        return table.write_csv()
    if form == "markdown":
        return as_markdown(for_people(table, hidden=hidden))
    return json.dumps(table.to_dicts(), indent=2, ensure_ascii=False) + "\n"


def _flags(csv: bool, markdown: bool, as_json: bool) -> tuple[tuple[Form, bool], ...]:
    return ("csv", csv), ("markdown", markdown), ("json", as_json)
