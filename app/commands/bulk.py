"""`iisan recommend RUN --all | --users | --histories`: recommendations for many users, in one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.console import note, print_json, watched
from iisan_core.errors import RefusedError, first_sentence

if TYPE_CHECKING:
    import polars as pl
    from tqdm import tqdm

    from iisan_core.serving.bulk import BulkRequest
    from iisan_core.serving.bulk_files import BulkProgress
    from iisan_core.serving.histories import View


@dataclass(frozen=True, kw_only=True)
class BulkOptions:
    """What the shell was told of many users."""

    everybody: bool
    users: Path | None
    histories: Path | None
    out: Path | None
    exclude: Path | None
    only: Path | None
    condition: str | None
    parts: bool

    @property
    def given(self) -> bool:
        """Whether many users are meant; raises `RefusedError` for half of what belongs together."""
        sources = {"--all": self.everybody, "--users": self.users, "--histories": self.histories}
        named = [name for name, value in sources.items() if value]
        others = {
            "--out": self.out, "--exclude": self.exclude, "--only": self.only, "--filter": self.condition,
            "--parts": self.parts,
        }  # fmt: skip
        if len(named) > 1:
            raise RefusedError(f"{' and '.join(named)}: give one of them, for each says who is to get recommendations")
        if not named and any(others.values()):
            stray = next(name for name, value in others.items() if value)
            raise RefusedError(f"{stray} is for many users: say who, with --all, --users FILE or --histories FILE")
        if named and self.out is None:
            raise RefusedError(f"{named[0]} writes a file: name it with --out, such as --out recommendations.parquet")
        return bool(named)


def recommend_many(run: Path, options: BulkOptions, *, view: View, k: int, seen: bool, as_json: bool) -> None:
    """Write the file, under a progress bar; several processes under torchrun share the work."""
    import iisan_core
    from iisan_core.computing.processes import ProcessGroup

    assert options.out is not None, "the caller has looked"
    request = _request(options, view=view, k=k, seen=seen)
    recommender = iisan_core.Recommender.load(run)
    processes = ProcessGroup.here()

    def show(bar: tqdm[Any], record: BulkProgress) -> None:
        bar.total = record.total
        bar.update(record.done - bar.n)

    steps = recommender.write_recommendations(request, options.out, processes=processes)
    last = watched(steps, show, label="recommend", unit="user", hidden=not processes.leads)
    if not processes.leads:
        return
    if as_json:
        print_json({"out": str(options.out), "users": last.total, "k": k, "view": view})
    note(f"wrote the best {k:,} items of {last.total:,} users to {options.out}")
    if recommender.unranked:
        note(f"{recommender.unranked:,} items of the catalogue are not in this run and never recommended by it")


def _request(options: BulkOptions, *, view: View, k: int, seen: bool) -> BulkRequest:
    from iisan_core.serving.bulk import BulkRequest
    from iisan_core.serving.item_ids import condition_of

    users = options.users and _column(options.users, "user_id", what="list of users")
    only = options.only and _column(options.only, "item_id", what="list of items")
    return BulkRequest(
        users=users or None,
        histories=_table(options.histories, ("user_id", "item_id"), what="table of histories")
        if options.histories
        else None,
        view=view,
        k=k,
        exclude_seen=not seen,
        candidates=only or None,
        filter=condition_of(options.condition) if options.condition else None,
        exclude=_table(options.exclude, ("item_id",), what="table of exclusions") if options.exclude else None,
        parts=options.parts,
    )


def _column(path: Path, name: str, *, what: str) -> list[str]:
    """A column of ids, each once; of a text file without header, its lines."""
    if path.suffix.lower() == ".txt":
        found = [line.strip() for line in _text(path, what=what).splitlines() if line.strip()]
    else:
        found = _table(path, (name,), what=what)[name].to_list()
    if not found:
        raise RefusedError(f"{path} is an empty {what}; put at least one {name} in it")
    return list(dict.fromkeys(found))


def _text(path: Path, *, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RefusedError(f"no {what} at {path}: the file does not exist") from None
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is no {what}: it is no text in UTF-8 ({error})") from None


def _table(path: Path, needed: tuple[str, ...], *, what: str) -> pl.DataFrame:
    """A table by the ending of its file, with ids as texts; raises `RefusedError` where it lacks columns or ids."""
    import polars as pl

    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".parquet": pl.read_parquet,
        ".csv": partial(pl.read_csv, infer_schema=False),
        ".tsv": partial(pl.read_csv, infer_schema=False, separator="\t"),
        ".jsonl": partial(pl.read_ndjson, infer_schema_length=None),
    }
    if path.suffix.lower() not in readers:
        raise RefusedError(f"{path}: the {what} comes as a file that ends in {', '.join(readers)}")
    try:
        table = readers[path.suffix.lower()](path)
    except FileNotFoundError:
        raise RefusedError(f"no {what} at {path}: the file does not exist") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError(f"{path} is no {what}: it cannot be read ({first_sentence(error)})") from None
    absent = [name for name in needed if name not in table.columns]
    if absent:
        raise RefusedError(
            f"{path} is no {what}: it has the columns {', '.join(table.columns)}, and {', '.join(absent)} not among "
            "them; name them so"
        )
    return _typed(table, path)


def _typed(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Ids as texts, also in lists, and times as numbers where they are such."""
    import polars as pl

    ids = [name for name in ("user_id", "item_id") if name in table.columns]
    for name in ids:
        kind = table.schema[name]
        inner = kind.inner if isinstance(kind, pl.List) else kind
        if not (inner == pl.String or inner.is_integer()):
            raise RefusedError(f"{path}: the ids in {name!r} are {kind}; ids are texts or whole numbers")
        table = table.with_columns(pl.col(name).cast(pl.List(pl.String) if isinstance(kind, pl.List) else pl.String))
        if not isinstance(kind, pl.List) and table[name].null_count():
            raise RefusedError(f"{path}: {table[name].null_count():,} rows have no {name}; leave them out")
    if "timestamp" in table.columns and table.schema["timestamp"] == pl.String:
        numbers = table["timestamp"].cast(pl.Float64, strict=False)
        if numbers.null_count() == table["timestamp"].null_count():
            table = table.with_columns(numbers)
    return table
