import io
import zipfile

import pytest
from PIL import Image

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from data_tools.statistics import statistics
from iisan_core.errors import RefusedError

ITEMS = 'a\tTitle &amp; A\nb\t"B" 3\' long\nc\t\n'
USERS = "u\ta b a\nv\tc\n"


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


def imported(source, *, items=ITEMS, users=USERS, **options):
    source.mkdir(exist_ok=True)
    for name, content in (("items.tsv", items), ("users.tsv", users)):
        raw = content if isinstance(content, bytes) else content.encode()
        (source / name).write_bytes(raw)
    return import_from(source, out=source.parent / "out", **options)


def import_from(source, **options):
    files = {"items": source / "items.tsv", "interactions": source / "users.tsv"}
    return IMPORTERS["iisan-tsv"](ImportRequest(**files, **options))


def jpeg(colour="red"):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(stream, format="JPEG")
    return stream.getvalue()


def test_the_released_form_without_header(source):
    dataset = imported(source)
    assert dataset.name == "source"
    assert dataset.items["title"].to_list() == ["Title & A", '"B" 3\' long', None]
    assert dataset.interactions.rows() == [("u", "a", 0), ("u", "b", 1), ("u", "a", 2), ("v", "c", 0)]
    assert dataset.card.reported["items_without_title"] == 1


def test_a_header_brings_further_text_columns_and_pictures(source):
    (source / "images").mkdir(parents=True)
    (source / "images" / "a.jpg").write_bytes(jpeg())
    items = "title\titem_id\tplot\timage\nA\ta\tlong\timages/a.jpg\nB\tb\t\t\nC\tc\tx\timages/c.jpg\n"
    dataset = imported(source, items=items, name="films")
    assert dataset.name == "films"
    assert dataset.text_columns == ["title", "plot"]
    assert dataset.items["image"].to_list() == ["images/a.jpg", None, None]
    assert dataset.items["plot"].to_list() == ["long", None, "x"]
    assert dataset.card.reported["missing_image_files"] == 1


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_pictures_from_a_folder_or_a_zip(source, tmp_path, packed, column):
    images = tmp_path / ("pictures.zip" if packed else "pictures")
    files = {"sub/a.jpg": jpeg("red"), "b.jpg": jpeg("blue"), "other.jpg": jpeg()}
    if packed:
        with zipfile.ZipFile(images, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        for name, data in files.items():
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            (images / name).write_bytes(data)
    with_column = "item_id\ttitle\timage\na\tA\tposters/a.jpg\nb\tB\tb.jpg\nc\tC\t\n"
    dataset = imported(source, items=with_column if column else ITEMS, images=images)
    first, second, third = dataset.image_paths()
    assert first.read_bytes() == files["sub/a.jpg"]
    assert second.read_bytes() == files["b.jpg"]
    assert third is None


def test_windows_line_ends_byte_order_mark_and_blank_lines_do_not_matter(source, tmp_path):
    plain = imported(source)
    plain.folder.rename(tmp_path / "plain")
    items = b"\xef\xbb\xbf" + ITEMS.replace("\n", "\r\n\r\n").encode()
    other = imported(source, items=items, users=USERS.replace("\n", "\r\n").rstrip())
    assert other.items.equals(plain.items)
    assert other.interactions.equals(plain.interactions)


def test_characters_that_look_like_line_ends_stay_in_the_title(source):
    dataset = imported(source, items="a\tone\u2028two\x0bthree\nb\tB\nc\tC\n")
    assert dataset.items["title"][0] == "one two three"


def test_users_without_items_are_dropped_and_counted(source):
    dataset = imported(source, users="u\ta  b \nv\t\n")
    assert dataset.interactions.rows() == [("u", "a", 0), ("u", "b", 1)]
    assert dataset.card.dropped["users_without_interactions"] == 1


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"items": "a,A\nb,B\n"}, r"items.tsv, line 1: 1 tab-separated field, expected 2 .*'a,A'; separate"),
        ({"items": "a\tA\nb\tB\tB\n"}, r"items.tsv, line 2: 3 tab-separated fields, expected 2 .*no tab inside"),
        ({"items": "a\tA\n\tB\n"}, r"items.tsv, line 2: the item_id is empty"),
        ({"items": "item_id\tplot\na\tA\n"}, r"items.tsv, line 1: the header .* lacks \['title'\]"),
        ({"items": "asin\ttitle\na\tA\n"}, r"items.tsv, line 1: the header .* lacks \['item_id'\]"),
        ({"items": "item_id\ttitle\tx\tx\na\tA\t1\t2\n"}, r"line 1: the column names \['x'\] are empty, used"),
        ({"items": "item_id\ttitle\tplot\na\tA\n"}, r"items.tsv, line 2: 2 tab-separated fields, expected 3"),
        ({"items": "item_id\ttitle\n"}, r"items.tsv is empty"),
        ({"items": ""}, r"items.tsv is empty; the item file needs at least one line"),
        ({"items": "a\tA\nb\tcaf\xe9\n".encode("latin1")}, r"items.tsv, line 2: byte 0xe9 is not UTF-8; save"),
        ({"items": "a\tA\n\na\tB\n"}, r"items.tsv: item id 'a' has conflicting rows: line 1 .*, line 3 has"),
        ({"users": " \n\n"}, r"users.tsv is empty"),
        ({"users": "u a b\n"}, r"users.tsv, line 1: 1 tab-separated field, expected 2 \(user_id, item_ids\)"),
        ({"users": "u\ta\nv\ta\tb\n"}, r"users.tsv, line 2: 3 tab-separated fields.*no id may hold a tab"),
        ({"users": "u\ta\n\tb\n"}, r"users.tsv, line 2: the user_id is empty"),
        ({"users": "u\ta\nv\tb\n\nu\tc\n"}, r"users.tsv, lines 1 and 4: user 'u' has two lines; join them"),
        ({"users": "u\t\nv\t\n"}, r"interaction table is empty"),
        ({"users": b"u\ta\n\xff\tb\n"}, r"users.tsv, line 2: byte 0xff is not UTF-8"),
        ({"users": "u\tx y\n"}, r"none of the 2 interactions names an item of the catalogue"),
    ],
)
def test_bad_files_are_refused_with_place_and_remedy(source, files, match):
    with pytest.raises(RefusedError, match=match):
        imported(source, **files)
    assert list(source.parent.iterdir()) == [source]


def test_absent_files_are_refused(source):
    with pytest.raises(RefusedError, match=r"cannot read the item file .*items.tsv \(No such file"):
        import_from(source, out=source / "out")


def test_real_scientific_has_the_published_counts(scientific):
    found = statistics(scientific)
    assert (found.users, found.items, found.interactions) == (12_076, 20_825, 85_211)
    assert (found.kept_users, found.kept_items, found.kept_interactions) == (12_076, 20_314, 81_711)
    assert (found.length_min, found.length_median, found.length_max) == (5, 6, 79)
    assert (found.cold_test_targets, found.test_targets_in_history) == (2_443, 621)
    assert found.users_repeating_an_item == pytest.approx(2_800, abs=50)
    assert found.titles_with_entities == 0
    assert found.items_without_image == found.items


def test_real_movielens_has_the_published_counts(data_folder, tmp_path):
    folder = data_folder / "movielens-1m"
    dataset = import_from(folder, out=tmp_path / "out")
    found = statistics(dataset)
    assert (found.users, found.items, found.interactions) == (6_040, 3_416, 993_059)
    assert (found.kept_interactions, found.kept_items) == (78_520, 3_199)
    longer = statistics(dataset, keep_last=53)
    assert (longer.kept_interactions, longer.kept_items) == (282_050, 3_394)
    assert found.items - found.items_without_image == 3_293
    assert dataset.items["plot"].count() == 3_415
    assert dataset.text_columns == ["title", "genres", "plot"]
