"""`iisan push` and `iisan pull`: runs given to others and taken from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.console import JsonFlag, note, print_json
from app.commands.options import RunPath
from iisan_core.errors import RefusedError

if TYPE_CHECKING:
    from iisan_core.runs.run_folder import RunFolder
    from iisan_core.serving.shared_folder import Sharing

HubName = Annotated[str, typer.Argument(help="The name on the hub: user/name.")]


def push(
    run: RunPath,
    name: HubName,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Under which terms, such as cc-by-nc-4.0; nothing is assumed."),
    ] = None,
    space: Annotated[bool, typer.Option("--space", help="Make a Gradio Space of the same name, too.")] = False,
    public: Annotated[bool, typer.Option("--public", help="For everybody; else for you alone.")] = False,
    with_pictures: Annotated[bool, typer.Option("--with-pictures", help="Share the items' pictures, too.")] = False,
    with_interactions: Annotated[
        bool, typer.Option("--with-interactions", help="Share who had what, too; never done unless asked for.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option(help="Write the folder there instead, and upload nothing; with --space, as a Space.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a run to the hub: weights as safetensors, the catalogue, and a card written from the run.

    The hub knows you by `hf auth login` or HF_TOKEN. Titles and texts of the items go along, for they are shown.

    Example: iisan push workspace/runs/demo me/demo-shop --licence mit --to shared
    """
    if not licence:
        raise RefusedError("under which licence? give --licence, such as mit, cc-by-4.0 or cc-by-nc-4.0")
    from iisan_core.runs.run_folder import RunFolder
    from iisan_core.serving.hub import push as pushed
    from iisan_core.serving.shared_folder import Sharing, share

    folder = RunFolder.open(run)
    sharing = Sharing(licence, pictures=with_pictures, interactions=with_interactions)
    if to is not None:
        share(folder, to, sharing, name=name)
        if space:
            from app.space import make_space

            make_space(to, model=name, licence=licence)
        places = [str(to)]
    else:
        places = [pushed(folder, name, sharing, public=public)]
        if space:
            places.append(_push_space(folder, name, sharing, public=public))
    if as_json:
        print_json({"places": places, "interactions": with_interactions, "pictures": with_pictures})
        return
    for place in places:
        typer.echo(place)
    note("with the interactions" if with_interactions else "without the interactions")


def _push_space(folder: RunFolder, name: str, sharing: Sharing, *, public: bool) -> str:
    from tempfile import TemporaryDirectory

    from app.space import make_space
    from iisan_core.serving.hub import upload
    from iisan_core.serving.shared_folder import share

    with TemporaryDirectory(prefix="iisan-space-") as place:
        made = Path(place) / "space"
        share(folder, made, sharing, name=name)
        make_space(made, model=name, licence=sharing.licence)
        return upload(made, name, kind="space", public=public)


def pull(
    name: HubName,
    out: Annotated[Path | None, typer.Option(help="The new folder; unset: `pulled/NAME` in the workspace.")] = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit; unset: the newest.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a run from the hub, look it through, and say where it lies. Nothing of it is run.

    Example: iisan pull me/demo-shop --out shops/demo
    """
    from iisan_core.config.places import default_root
    from iisan_core.serving.hub import pull as pulled

    folder = out or default_root() / "pulled" / name.replace("/", "--")
    run = pulled(name, folder, revision=revision, on_file=lambda file: note(f"fetching {file}"))
    if as_json:
        print_json({"run": str(run)})
    else:
        typer.echo(run)
