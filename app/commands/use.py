"""`iisan recommend`, `similar` and `explain`: what came of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

import iisan_core
from app.commands.bulk import BulkOptions, recommend_many
from app.commands.console import JsonFlag, note, print_json, print_table
from app.commands.options import RunPath
from iisan_core.errors import RefusedError

if TYPE_CHECKING:
    from iisan_core.serving.explanation import Explanation
    from iisan_core.serving.retrieval import Recommended

HistoryOption = Annotated[str | None, typer.Option(help="Item ids instead of a user, oldest first: P1,P2,P3.")]
ItemOption = Annotated[str, typer.Option(help="An item of the dataset.")]
View: TypeAlias = Literal["now", "evaluation"]
VIEWS: dict[View, str] = {
    "now": "view now: from the whole history; --view evaluation holds the test's item back, as the metrics did",
    "evaluation": "view evaluation: the test's item is held back, as for the metrics; --view now takes all",
}
NEWEST_SHOWN = 10
ViewOption = Annotated[
    View,
    typer.Option(
        help="now: from the whole history of a user; evaluation: the history before the item that the test held back."
    ),
]
MANY: Any = {"rich_help_panel": "Many users, into a file"}
HowMany = Annotated[int, typer.Option("-k", help="How many items.")]


def recommend(
    run: RunPath,
    user: Annotated[list[str] | None, typer.Option(help="A user of the dataset; repeatable.")] = None,
    history: HistoryOption = None,
    view: ViewOption = "now",
    k: HowMany = 10,
    seen: Annotated[bool, typer.Option("--seen", help="Recommend items of the history, too.")] = False,
    index: Annotated[
        Path | None,
        typer.Option(
            help="An index of `iisan export --to faiss`: nearly the same answers, sooner where items are many."
        ),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Recommend to all users of the log.", **MANY)] = False,
    users: Annotated[
        Path | None, typer.Option(help="… to these: a column user_id, or a .txt file with one a line.", **MANY)
    ] = None,
    histories: Annotated[
        Path | None,
        typer.Option(help="… to these: columns user_id and item_id, oldest first, or lists of items.", **MANY),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write: .parquet, .csv or .jsonl.", **MANY)] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(help="Items not to recommend: item_id, and user_id where it is about single users.", **MANY),
    ] = None,
    only: Annotated[
        Path | None, typer.Option(help="The items to choose from: a column item_id, or a .txt file.", **MANY)
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            "--filter", help="Only items that meet it, in SQL: \"price < 20 AND title LIKE '%lamp%'\".", **MANY
        ),
    ] = None,
    parts: Annotated[bool, typer.Option("--parts", help="Add columns with the parts of each score.", **MANY)] = False,
    as_json: JsonFlag = False,
) -> None:
    """Recommend items to users, or to a history that you make up; or to many users, into a file.

    Example: iisan recommend workspace/runs/demo --user U0001 -k 5

    Everybody's best hundred: user_id, rank, item_id, score. Whoever is interrupted goes on by the same command:
    iisan recommend workspace/runs/demo --all -k 100 --out recommendations.parquet

    Several processes share the work: torchrun --nproc-per-node 4 --no-python iisan recommend …
    """
    many = BulkOptions(
        everybody=everybody, users=users, histories=histories, out=out, exclude=exclude, only=only, condition=condition,
        parts=parts,
    )  # fmt: skip
    if many.given:
        if user or history or index:
            raise RefusedError("many users with --out are answered exactly: give no --user, --history or --index")
        recommend_many(run, many, view=view, k=k, seen=seen, as_json=as_json)
        return
    made_up = _made_up(history, instead_of=user)
    recommender = iisan_core.Recommender.load(run)
    if index is not None:
        from iisan_core.serving.index import VectorIndex

        recommender = recommender.with_index(VectorIndex.load(index, recommender.vectors))
    known = {"now": recommender.history, "evaluation": lambda u: recommender.held_back(u).history}
    asked = [known[view](u) for u in user] if user else [made_up]
    answers = recommender.recommend(histories=asked, k=k, exclude_seen=not seen)
    names = user or ["history"]
    if as_json:
        print_json(
            [
                {"user": name, "view": view, "history": h, "passed_over": len(recommender.passed_over(h))}
                | {"recommended": [asdict(item) for item in answer] if _is_known(recommender, h) else None}
                for name, h, answer in zip(names, asked, answers, strict=True)
            ]
        )
    for name, h, answer in zip(names, asked, answers, strict=True):
        if not as_json and _is_known(recommender, h):
            show_recommendations(recommender, name, h, answer)
        _say_what_is_passed_over(recommender, name, h)
    if recommender.unranked:
        note(f"{recommender.unranked:,} items of the catalogue are not in this run and never recommended by it")
    if as_json:
        return
    if user:
        note(VIEWS[view])


def _is_known(recommender: iisan_core.Recommender, history: list[str]) -> bool:
    """Whether the run knows an item of a history."""
    return len(recommender.passed_over(history)) < len(history)


def _say_what_is_passed_over(recommender: iisan_core.Recommender, name: str, history: list[str]) -> None:
    passed = len(recommender.passed_over(history))
    if passed == len(history):
        note(f"{name}: nothing to recommend, for all {passed:,} items of the history are not in this run")
    elif passed:
        note(f"{name}: {passed:,} of {len(history):,} items of the history are not in this run and were passed over")


def show_recommendations(
    recommender: iisan_core.Recommender, name: str, history: list[str], recommended: list[Recommended]
) -> None:
    """A history and what follows from it, as two tables."""
    title_of = _titles(recommender)
    newest = list(reversed(history[-NEWEST_SHOWN:]))
    which = f"the newest {len(newest)} of {len(history):,} items" if len(newest) < len(history) else "newest first"
    print_table(["item", "title"], [(i, title_of[i]) for i in newest], title=f"{name}: history, {which}")
    rows = [(place, r.item_id, r.score, title_of[r.item_id]) for place, r in enumerate(recommended, start=1)]
    print_table(["", "item", "score", "title"], rows, title=f"{name}: recommended")


def similar(run: RunPath, item: ItemOption, k: HowMany = 10, as_json: JsonFlag = False) -> None:
    """Items whose vectors are most like one item's, by cosine.

    Example: iisan similar workspace/runs/demo --item P0003 -k 5
    """
    recommender = iisan_core.Recommender.load(run)
    found = recommender.similar_items(item, k=k)
    if as_json:
        print_json({"item": item, "similar": [asdict(other) for other in found]})
        return
    title_of = _titles(recommender)
    rows = [(place, s.item_id, s.cosine, title_of[s.item_id]) for place, s in enumerate(found, start=1)]
    print_table(["", "item", "cosine", "title"], rows, title=f"like {_named(item, title_of)}")


def explain(
    run: RunPath,
    item: ItemOption,
    user: Annotated[str | None, typer.Option(help="A user of the dataset.")] = None,
    history: HistoryOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Why an item scores what it scores for a user: what each side network adds, and each item of the history.

    Example: iisan explain workspace/runs/demo --user U0001 --item P0003
    """
    made_up = _made_up(history, instead_of=user)
    recommender = iisan_core.Recommender.load(run)
    why = recommender.explain(item, user=user, history=made_up if history else None)
    if as_json:
        parts = [asdict(part) | {"above_mean": part.above_mean} for part in why.parts]
        print_json(asdict(why) | {"parts": parts})
        return
    _show_explanation(recommender, why, user or "history")


def _show_explanation(recommender: iisan_core.Recommender, why: Explanation, name: str) -> None:
    title_of = _titles(recommender)
    numbers = {part.name: (part.score, part.catalogue_mean, part.above_mean) for part in why.parts}
    numbers["sum"] = (why.score, sum(p.catalogue_mean for p in why.parts), sum(p.above_mean for p in why.parts))
    rows = [(part, *values) for part, values in numbers.items()]
    title = f"{name}: {_named(why.item_id, title_of)}"
    print_table(["part", "score", "catalogue mean", "above mean"], rows, title=title)
    note("only what is above the catalogue's mean ranks; a part called inter holds all modalities")
    influences = [(i.item_id, i.score, title_of[i.item_id]) for i in reversed(why.influences)]
    if influences:
        heading = f"{name}: what each item of the history adds, newest first"
        print_table(["item", "influence", "title"], influences, title=heading)


def _made_up(history: str | None, *, instead_of: object) -> list[str]:
    """The items of `--history`, given instead of `--user`; raises `RefusedError` for both, neither, or no item."""
    if bool(instead_of) == bool(history):
        raise RefusedError("give either --user or --history, exactly one of them")
    found = [item.strip() for item in (history or "").split(",") if item.strip()]
    if history and not found:
        raise RefusedError(f"--history {history!r} names no items; write their ids with commas between: P1,P2,P3")
    return found


def _named(item_id: str, title_of: dict[str, str | None]) -> str:
    title = title_of[item_id]
    return f"{item_id}, {title}" if title else item_id


def _titles(recommender: iisan_core.Recommender) -> dict[str, str | None]:
    return dict(recommender.dataset.items.select("item_id", "title").iter_rows())
