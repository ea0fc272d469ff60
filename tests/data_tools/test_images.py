import errno
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import data_tools.images as images
from data_tools.images import FolderImages, UnreadableImageError, ZipImages, extension_of, open_images
from iisan_core.data import pictures as reading
from iisan_core.errors import RefusedError


def encoded(format="PNG", size=(8, 8)):
    stream = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(stream, format=format)
    return stream.getvalue()


@pytest.mark.parametrize(("format", "extension"), sorted(images.EXTENSIONS.items()))
def test_every_accepted_format_has_its_extension(format, extension):
    assert extension_of(encoded(format)) == extension


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", encoded("PPM"), encoded(size=(64, 64))[:-40], encoded("JPEG", (64, 64))[:300]],
    ids=["empty", "text", "other format", "cut PNG", "cut JPEG"],
)
def test_damaged_or_foreign_pictures_are_unreadable(data):
    with pytest.raises(UnreadableImageError):
        extension_of(data)


def test_a_decompression_bomb_is_unreadable(monkeypatch):
    bomb = encoded(size=(100, 50))
    monkeypatch.setattr(reading, "MAX_PIXELS", 100 * 50 - 1)
    with pytest.raises(UnreadableImageError, match="100×50 pixels"):
        extension_of(bomb)
    # Pillow's own limits, should they be the lower ones: a warning above one, an error above two times it.
    for limit in (4000, 1000):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnreadableImageError, match="decompression bomb"):
            extension_of(bomb)


def test_a_folder_and_archives_of_it_hold_the_same(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.PNG").write_bytes(encoded())
    (folder / "sub" / "a.jpg").write_bytes(encoded("JPEG"))
    (folder / "notes.txt").write_text("no picture")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder).as_posix())
    with tarfile.open(tmp_path / "pictures.tar", "w") as archive:
        archive.add(folder, "")
    assert dict(open_images(tmp_path / "pictures.tar")) == dict(open_images(folder))
    from_folder, from_zip = open_images(folder), open_images(tmp_path / "pictures.zip")
    assert isinstance(from_folder, FolderImages)
    assert isinstance(from_zip, ZipImages)
    assert dict(from_folder) == dict(from_zip) == {"b.PNG": encoded(), "sub/a.jpg": encoded("JPEG")}
    assert len(from_folder) == len(from_zip) == 2


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "sub/../../secret.png", "..\\secret.png"])
def test_names_never_lead_out_of_the_folder(tmp_path, name):
    (tmp_path / "secret.png").write_bytes(encoded())
    (tmp_path / "pictures" / "sub").mkdir(parents=True)
    pictures = FolderImages(tmp_path / "pictures")
    assert name not in pictures
    with pytest.raises(KeyError):
        pictures[name]


def test_a_name_too_long_for_a_file_names_no_picture(tmp_path):
    assert "x" * 300 + ".png" not in FolderImages(tmp_path)


def test_a_picture_that_cannot_be_opened_is_unreadable(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded())

    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UnreadableImageError, match="cannot be read: Permission denied"):
        FolderImages(tmp_path)["a.png"]


def test_files_too_large_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded())
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a.png", encoded())
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    for pictures in (FolderImages(tmp_path), ZipImages(tmp_path / "p.zip")):
        with pytest.raises(UnreadableImageError, match="at most 10 are read"):
            pictures["a.png"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_archive_entry_is_unreadable(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", method) as archive:
        archive.writestr("a.png", encoded(size=(32, 32)))
    raw = bytearray((tmp_path / "p.zip").read_bytes())
    raw[40:60] = b"\xff" * 20
    (tmp_path / "p.zip").write_bytes(raw)
    with pytest.raises(UnreadableImageError, match="broken in the archive"):
        ZipImages(tmp_path / "p.zip")["a.png"]


def test_a_tar_that_breaks_off_is_refused(tmp_path):
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        entry = tarfile.TarInfo("a.png")
        entry.size = len(encoded(size=(32, 32)))
        archive.addfile(entry, io.BytesIO(encoded(size=(32, 32))))
    (tmp_path / "p.tar").write_bytes((tmp_path / "p.tar").read_bytes()[:600])
    with pytest.raises(RefusedError, match="not a readable tar file"):
        open_images(tmp_path / "p.tar")


def test_what_holds_no_pictures_is_refused(tmp_path):
    (tmp_path / "p.zip").write_text("no archive")
    with pytest.raises(RefusedError, match=r"not a readable zip file .* name a folder or a \.zip file"):
        open_images(tmp_path / "p.zip")
    (tmp_path / "p.tar").write_text("no archive")
    with pytest.raises(RefusedError, match=r"not a readable tar file"):
        open_images(tmp_path / "p.tar")
    with pytest.raises(RefusedError, match="it is no folder"):
        open_images(tmp_path / "absent")
