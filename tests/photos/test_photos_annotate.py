"""Annotated copies of photos, and the callback for each photo."""

import io
import os
from pathlib import Path

import pytest
from photo_reader import CLASSES, Reader, photo
from PIL import Image

from fer_sklearn.images import read_image, write_image
from fer_sklearn.photos import PhotoResult, check_photo_outputs, iter_photo_rows, predict_photos


@pytest.fixture(autouse=True)
def album(tmp_path, monkeypatch):
    """A working directory with two photos."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("album/sub")
    write_image("album/a.png", photo(2))
    write_image("album/sub/b.png", photo(0))
    return tmp_path


def _files(root):
    return sorted(path.relative_to(root).as_posix() for path in Path(root).rglob("*.png"))


def test_each_photo_is_annotated_and_passed_to_the_callback():
    results = []
    table = predict_photos("album", Reader(), annotate="out/new", on_photo=results.append)
    assert _files("out/new") == ["a-faces.png", "sub/b-faces.png"]
    assert read_image("out/new/a-faces.png").shape == (320, 320, 3)
    assert all(isinstance(result, PhotoResult) for result in results)
    assert [result.source.name for result in results] == ["album/a.png", "album/sub/b.png"]
    assert [result.status for result in results] == ["ok", "no face"]
    assert results[0].classes == CLASSES
    rows = [row for result in results for row in result.rows()]
    assert [row["face"] for row in rows] == [0, 1, None]
    assert len(table) == len(rows)


def test_photos_are_kept_only_for_annotation():
    results = []
    list(iter_photo_rows("album", Reader(), on_photo=results.append))
    assert [result.photo for result in results] == [None, None]
    list(iter_photo_rows("album", Reader(), annotate="out", on_photo=results.append))
    assert results[2].photo.shape == (8, 8)


def test_the_callback_sees_rows_that_are_written():
    n_lines = []

    def count(result):
        n_lines.append(len(Path("rows.csv").read_text().splitlines()))

    predict_photos("album", Reader(), output="rows.csv", on_photo=count, batch_size=1, n_jobs=1)
    assert n_lines == [3, 4]
    predict_photos(["album"], Reader(), output="rows.csv", on_photo=count)
    assert n_lines == [3, 4, 4]  # only the last photo is processed again


def test_photos_without_a_path_are_numbered_or_named():
    file = io.BytesIO(Path("album/a.png").read_bytes())
    file.name = "/elsewhere/upload.jpg"
    images = [photo(1), file, "album/a.png"]
    predict_photos(images, Reader(), annotate="out")
    assert _files("out") == ["[0]-faces.png", "a-faces.png", "upload.jpg-faces.png"]


def test_photos_of_an_iterator_are_annotated_too():
    images = iter(["album", photo(1), "album/a.png"])
    predict_photos(images, Reader(), annotate="out")
    expected = ["[1]-faces.png", "a-faces.png", "album/a-faces.png", "album/sub/b-faces.png"]
    assert _files("out") == expected
    with pytest.raises(ValueError, match=r"annotate='album/new' lies in 'album', whose photos"):
        predict_photos(iter(["album"]), Reader(), annotate="album/new")


def test_a_resumed_run_annotates_the_rest():
    predict_photos(["album/a.png", "album/sub/b.png"], Reader(), output="rows.csv")
    write_image("album/c.png", photo(1))
    images = ["album/a.png", "album/sub/b.png", "album/c.png"]
    predict_photos(images, Reader(), output="rows.csv", annotate="out")
    assert _files("out") == ["b-faces.png", "c-faces.png"]


def test_an_error_says_how_many_photos_the_file_keeps():
    reader = Reader()
    classify = reader.predict

    def fail(crops):
        if len(reader.batches) == 2:
            raise RuntimeError("out of memory")
        return classify(crops)

    reader.predict = fail
    with pytest.raises(RuntimeError) as caught:
        predict_photos("album", reader, output="rows.csv", batch_size=1, n_jobs=1)
    assert caught.value.__notes__ == [
        "rows.csv keeps 1 photo(s); the same call resumes after them."
    ]


def test_outputs_can_be_checked_beforehand():
    check_photo_outputs("album", output="rows.csv", annotate="out")
    assert not Path("rows.csv").exists()
    with pytest.raises(ValueError, match=r"output='rows.txt' ends in '\.txt'"):
        check_photo_outputs("album", output="rows.txt")
    with pytest.raises(ValueError, match="annotate='album' lies in 'album'"):
        check_photo_outputs("album", annotate="album")


def test_any_name_gets_its_copy():
    long = ["x" * 251 + ".png", "x" * 250 + "y.png", "é" * 125 + ".png", os.fsdecode(b"\xff.png")]
    os.mkdir("long")
    for name in long:
        Path("long", name).write_bytes(Path("album/a.png").read_bytes())
    impossible = ["a\0b.png", "\ud800.png", "b" * 300, "https://example.org/a.png"]
    table = predict_photos(["long", *impossible], Reader(), annotate="out")
    assert table["status"].str.startswith("unreadable").sum() == len(impossible)
    assert len(os.listdir("out/long")) == len(long)


@pytest.mark.parametrize("name", ["wide.jpg", "wide.webp"])
def test_a_photo_that_is_too_wide_for_its_format_costs_no_other(name):
    wide = Image.new("L", (66_000, 8))
    file = io.BytesIO()
    wide.save(file, "PNG")  # under a wrong name
    Path(name).write_bytes(file.getvalue())
    rows = list(iter_photo_rows([name, "album/a.png"], Reader(), annotate="out"))
    assert [row["status"] for row in rows] == ["no face", "ok", "ok"]
    assert sorted(os.listdir("out")) == ["a-faces.png", f"{name}.faces.png"]
