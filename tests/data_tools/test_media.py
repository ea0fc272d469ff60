import pytest

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from iisan_core.errors import RefusedError


@pytest.fixture
def bring(tmp_path):
    (tmp_path / "titles.csv").write_text("item,title\n1,One\n2,Two\n3,Three\n")
    (tmp_path / "pairs.tsv").write_text("10\t3 1 2\n")

    def bring(**files):
        folders = {}
        for kind, names in files.items():
            for name in names:
                path = tmp_path / kind / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(name.encode())
            folders[kind] = tmp_path / kind
        return IMPORTERS["microlens"](
            ImportRequest(
                items=tmp_path / "titles.csv", interactions=tmp_path / "pairs.tsv", out=tmp_path / "out", **folders
            )
        )

    return bring


def test_videos_and_sounds_come_along(bring):
    dataset = bring(videos=["1.mp4", "deep/03.WEBM", "notes.txt"], sounds=["2.wav", "._2.wav"])
    assert dataset.items["video"].to_list() == ["video/1.mp4", None, "video/3.webm"]
    assert dataset.items["audio"].to_list() == [None, "audio/2.wav", None]
    assert dataset.text_columns == ["title"]
    copied = {path: (dataset.folder / path).read_bytes() for path in ["video/1.mp4", "video/3.webm", "audio/2.wav"]}
    assert list(copied.values()) == [b"1.mp4", b"deep/03.WEBM", b"2.wav"]


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["1.mp4", "1.webm"], "1.mp4 and 1.webm are of one item"),
        (["a/1.mp4", "b/1.mp4"], "a/1 and b/1 are of one item"),
        (["x.mp4"], "none of its 1 video files fits an item; they are named after items, such as 1.mp4"),
    ],
)
def test_what_fits_no_item_or_one_twice_is_refused(bring, tmp_path, names, match):
    with pytest.raises(RefusedError, match=match):
        bring(videos=names)
    assert not (tmp_path / "out").exists()
