"""Rows of photos: order, status, batches, threads, and kinds of input."""

import base64
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pandas as pd
import pytest
from photo_reader import COLUMNS, Reader, photo
from PIL import Image, ImageSequence

from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.images import write_image
from fer_sklearn.photos import _recognize, iter_photo_rows, predict_photos
from fer_sklearn.photos._sources import count_sources, iter_sources


def rows_of(images, reader=None, **options):
    return list(iter_photo_rows(images, reader or Reader(), **options))


def names(images):
    return [source.name for source in iter_sources(images)]


def problems(images):
    return {source.name: source.problem for source in iter_sources(images)}


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A folder with photos in three levels of subfolders, and other files."""
    monkeypatch.chdir(tmp_path)
    for path in ("album/b.png", "album/a/2.png", "album/a/10.png", "album/a/c/x.PNG"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_image(path.lower(), photo())
        os.replace(path.lower(), path)
    for path in ("album/notes.txt", "album/.hidden.png", "empty/notes.txt"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
    os.makedirs("album/.cache")
    write_image("album/.cache/thumbnail.png", photo())
    return tmp_path


# Rows


def test_there_is_one_row_per_face_in_the_order_of_the_photos():
    rows = rows_of([photo(2, 255), photo(0), photo(1, 0)])
    assert [(row["source"], row["face"], row["emotion"], row["status"]) for row in rows] == [
        ("[0]", 0, "happy", "ok"),
        ("[0]", 1, "happy", "ok"),
        ("[1]", None, None, "no face"),
        ("[2]", 0, "sad", "ok"),
    ]
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert rows[1]["left"] == 1.0
    assert rows[1]["happy"] == 1.0
    assert {rows[2][name] for name in COLUMNS[1:-1]} == {None}


def test_the_dtypes_of_a_table_do_not_depend_on_its_contents():
    table = predict_photos([photo(2), photo(0)], Reader())
    assert list(table.columns) == COLUMNS
    assert table["face"].tolist()[:2] == [0, 1]
    assert table["face"].isna().tolist() == [False, False, True]
    empty = predict_photos([], Reader())
    assert empty.dtypes.to_dict() == table.dtypes.to_dict()
    assert len(empty) == 0
    assert {str(table[name].dtype) for name in ("left", "score", "happy")} == {"float64"}


def test_faces_of_many_photos_are_classified_together():
    reader = Reader()
    rows = rows_of([photo(3) for _ in range(6)], reader, batch_size=4)
    assert len(rows) == 18
    assert max(reader.batches) == 4
    assert sum(reader.batches) == 18


def test_photos_without_faces_do_not_wait_for_a_full_batch():
    seen = []

    def walls():
        for i in range(100):
            seen.append(i)
            yield photo(0)

    rows = iter_photo_rows(walls(), Reader(), batch_size=8, n_jobs=1)
    next(rows)
    assert len(seen) == 8


def test_slow_photos_do_not_wait_for_a_full_batch(monkeypatch):
    monkeypatch.setattr(_recognize, "_MAX_SECONDS", 0.0)
    reader = Reader()
    rows_of([photo() for _ in range(3)], reader, n_jobs=1)
    assert reader.batches == [1, 1, 1]


def test_large_photos_do_not_wait_for_a_full_batch(monkeypatch):
    monkeypatch.setattr(_recognize, "_MAX_BYTES", 100)
    reader = Reader()
    rows_of([photo() for _ in range(4)], reader, n_jobs=1, crop_faces=False)
    assert reader.batches == [2, 2]


def test_threads_read_ahead_within_bounds_and_keep_the_order():
    reader, seen = Reader(), []
    plain_find = reader.detect

    def find(pixels):
        time.sleep(0.002 * (pixels[0, 1] % 5))
        return plain_find(pixels)

    def photos():
        for i in range(200):
            seen.append(i)
            yield photo(1, i)

    reader.detect = find
    rows = iter_photo_rows(photos(), reader, batch_size=16, n_jobs=3)
    first = next(rows)
    assert len(seen) <= 2 * 16 + 1  # while a batch is classified, the next one is read
    happy = [first["happy"], *(row["happy"] for row in rows)]
    assert happy == [i / 255 for i in range(200)]
    assert len(reader.threads) > 1


def test_threads_read_the_next_batch_while_one_is_classified():
    reader, detected, n_read = Reader(), [], []
    plain_find, plain_predict = reader.detect, reader.predict

    def find(pixels):
        time.sleep(0.005)
        detected.append(1)
        return plain_find(pixels)

    def predict(crops):
        deadline = time.monotonic() + 5
        while not n_read and len(detected) < 16 + 10 and time.monotonic() < deadline:
            time.sleep(0.005)
        n_read.append(len(detected))
        return plain_predict(crops)

    reader.detect, reader.predict = find, predict
    rows = rows_of([photo() for _ in range(48)], reader, batch_size=16, n_jobs=2)
    assert len(rows) == 48
    assert n_read[0] >= 16 + 10


def test_one_job_runs_in_the_calling_thread():
    reader = Reader()
    rows_of([photo(), photo()], reader, n_jobs=1)
    assert reader.threads == {threading.get_ident()}


def test_closing_the_generator_ends_its_threads():
    before = threading.active_count()
    rows = iter_photo_rows((photo() for _ in range(1000)), Reader(), batch_size=2, n_jobs=2)
    next(rows)
    rows.close()
    assert threading.active_count() == before


def test_a_photo_may_be_treated_as_one_face():
    (row,) = rows_of([np.full((6, 5, 3), 255, np.uint8)], crop_faces=False, reader=Whole())
    assert [row[name] for name in ("left", "top", "width", "height")] == [0, 0, 5, 6]
    assert (row["score"], row["status"]) == (None, "ok")


class Whole(Reader):
    def detect(self, photo):
        raise AssertionError("no face is to be found")

    def predict(self, crops):
        return super().predict([crop[..., 0] for crop in crops])


def test_probabilities_are_missing_if_the_model_has_none():
    reader = Reader()
    reader.predict = lambda crops: (
        np.full(len(crops), "sad"),
        np.full((len(crops), 2), np.nan),
    )
    (row,) = rows_of([photo()], reader)
    assert (row["emotion"], row["happy"], row["sad"]) == ("sad", None, None)


def test_pixels_that_an_iterator_reuses_are_kept():
    def frames():
        frame = photo()
        for happy in (0, 255, 0):
            frame[0, 1] = happy
            yield frame

    assert [row["emotion"] for row in rows_of(frames(), n_jobs=2)] == ["sad", "happy", "sad"]


def test_a_pillow_image_that_is_passed_several_times_is_decoded_once_at_a_time():
    pixels = np.random.default_rng(0).integers(0, 256, (600, 800), np.uint8)
    pixels[0, :2] = 1, 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    for _ in range(5):
        rows = rows_of([Image.open(file)] * 8, n_jobs=8)
        assert [row["emotion"] for row in rows] == ["happy"] * 8


@pytest.mark.parametrize("n_jobs", [1, 4])
@pytest.mark.parametrize("format", ["TIFF", "PNG"])
def test_the_pages_of_a_file_are_photos(format, n_jobs):
    pages = [Image.fromarray(photo(1 + index % 3, 255 * (index % 2))) for index in range(20)]
    file = io.BytesIO()
    pages[0].save(file, format, save_all=True, append_images=pages[1:])
    with Image.open(file) as opened:
        rows = rows_of(ImageSequence.Iterator(opened), n_jobs=n_jobs)
    expected = rows_of(pages)
    assert [row["source"] for row in rows] == [row["source"] for row in expected]
    assert [row["emotion"] for row in rows] == [row["emotion"] for row in expected]


def test_an_error_of_a_detector_names_the_photo():
    reader = Reader()
    reader.detect = lambda photo: 1 / 0
    with pytest.raises(ZeroDivisionError) as caught:
        rows_of([photo()], reader)
    assert caught.value.__notes__ == ["It happened in the photo [0]."]


def test_a_label_must_not_have_the_name_of_a_column():
    reader = Reader()
    reader.classes = ["score", "sad"]
    with pytest.raises(ValueError, match=r"has the class\(es\) 'score', which are names of"):
        iter_photo_rows([], reader)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"batch_size=0; expected an int above 0\."),
        ({"detector": [(1, 2, 3, 4)]}, r"detector is a list of boxes, .* recognize\(photo, det"),
        ({"batch_size": 2.0}, r"batch_size=2\.0; expected an int above 0\."),
        ({"n_jobs": 0}, r"n_jobs=0; expected an int above 0, or -1 for all processors\."),
    ],
)
def test_options_are_checked_before_any_work(options, message):
    with pytest.raises(ValueError, match=message):
        iter_photo_rows([photo()], Reader(), **options)


def test_a_bar_counts_photos(capsys):
    predict_photos([photo(2), photo()], Reader(), progress=True)
    assert "2/2" in capsys.readouterr().err
    predict_photos([photo(2), photo()], Reader())
    assert capsys.readouterr().err == ""


# Unreadable photos


def test_unreadable_photos_get_a_row_and_do_not_stop_the_rest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("not a photo.")
    write_image("whole.png", photo())
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:40])
    (tmp_path / "empty").mkdir()
    images = ["no.jpg", "text.jpg", "half.png", "empty", "x*.jpg", "whole.png", b"bytes", None]
    images += [np.zeros((2, 2, 7)), np.full((2, 2), np.nan)]
    status = {row["source"]: row["status"] for row in rows_of(images)}
    assert status["no.jpg"] == "unreadable: there is no such file"
    assert status["text.jpg"] == (
        "unreadable: not an image in a known format; its first bytes are b'not a ph'"
    )
    assert status["half.png"].startswith("unreadable: the image is truncated or damaged (")
    assert status["empty"] == "unreadable: there is no photo in this folder"
    assert status["x*.jpg"] == (
        "unreadable: there is no such file, and no photo matches it as a pattern"
    )
    assert status["whole.png"] == "ok"
    assert status["[6]"].startswith("unreadable: not an image in a known format")
    assert status["[7]"].startswith("unreadable: is a NoneType; expected a path or an array")
    assert status["[8]"].startswith("unreadable: has shape (2, 2, 7); expected one photo")
    assert status["[9]"] == (
        "unreadable: has 4 pixel(s) that are NaN or infinite; expected finite numbers"
    )


@pytest.mark.parametrize("name", ["the", "there", "t", "not", "not an", "the image", ""])
def test_a_reason_keeps_its_words_whatever_the_name_of_the_photo(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert rows_of([name])[0]["status"] == "unreadable: there is no such file"
    if name:
        pathlib.Path(name).write_bytes(b"?" * 99)
        with open(name, "rb") as file:
            rows = rows_of([name, file])
        assert [row["source"] for row in rows] == [name, name]
        for row in rows:
            assert row["status"].startswith("unreadable: not an image in a known format; its first")


def test_a_file_object_whose_name_is_no_text_gets_a_row():
    named = io.BytesIO()
    named.name = None
    with tempfile.TemporaryFile() as file:  # its name is a number
        for item in (file, named):
            (row,) = rows_of([item])
            assert row["source"] == "[0]"
            assert row["status"].startswith("unreadable: the file object is empty, or was read to")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_unreadable_photo_may_end_the_call(tmp_path, n_jobs):
    images = [photo(), "no.jpg", photo()]
    with pytest.raises(ImageReadError, match=r"^no\.jpg: there is no such file\.$") as raised:
        rows_of(images, on_error="raise", n_jobs=n_jobs)
    assert "Check the path" in str(raised.value.__cause__)
    with pytest.raises(ImageReadError, match=r"there is no photo in this folder"):
        predict_photos(str(tmp_path), Reader(), on_error="raise")
    with pytest.raises(ValueError, match=r"on_error='rise' is unknown.*Did you mean 'raise'\?"):
        rows_of(images, on_error="rise")


class Hostile:
    """An object that raises an error on any access."""

    name = "hostile.jpg"

    def read(self, size=-1):
        raise RuntimeError("no.")


def test_errors_of_user_objects_cost_one_row():
    class Item:
        def __array__(self, dtype=None, copy=None):
            raise RecursionError

        def __fspath__(self):
            return "a.png"

    status = [row["status"] for row in rows_of([Hostile(), Item(), photo()])]
    assert status[0] == "unreadable: no"
    assert status[1:] == ["unreadable: there is no such file", "ok"]


def test_a_photo_that_is_too_large_to_be_searched_gets_a_row():
    reader = Reader()
    plain = reader.detect

    def detect(pixels):
        if pixels[0, 1] == 7:
            raise MemoryError
        return plain(pixels)

    reader.detect = detect
    status = [row["status"] for row in rows_of([photo(1, 7), photo()], reader)]
    assert status == ["unreadable: too large to be searched (MemoryError)", "ok"]


# Kinds of input


def test_the_photos_of_a_folder_are_sorted(album):
    expected = ["album/a/10.png", "album/a/2.png", "album/a/c/x.PNG", "album/b.png"]
    assert names("album") == expected
    assert names(album / "album") == [str(album / name) for name in expected]
    assert [row["status"] for row in rows_of("album")] == ["ok"] * 4


def test_a_folder_that_links_to_itself_is_read_once(album):
    os.symlink(album / "album", "album/a/again")
    assert len(names("album")) == 4


def test_folders_that_link_to_each_other_are_read_once(album):
    for i in range(12):
        os.makedirs(f"album/f{i}")
        write_image(f"album/f{i}/x.png", photo())
    for i in range(12):
        for j in range(12):
            os.symlink(album / f"album/f{j}", f"album/f{i}/to{j}")
    assert len(names("album")) == 4 + 12
    assert len(names("album/**/*.png")) == 3 + 12


@pytest.mark.parametrize(
    ("name", "depth", "problem"),
    [("a", 1500, ""), ("a" * 200, 30, "the folder cannot be read (File name too long)")],
)
def test_folders_may_be_nested_deeply(album, name, depth, problem):
    data = (album / "album/b.png").read_bytes()
    os.chdir("empty")
    for _ in range(depth):
        os.mkdir(name)
        os.chdir(name)
    pathlib.Path("x.png").write_bytes(data)
    os.chdir(album)
    try:
        assert list(problems("empty").values()) == [problem]
    finally:  # Python's own way to remove them is not made for this
        subprocess.run(["rm", "-r", "empty"], check=True)


@pytest.mark.timeout(60)
def test_entries_of_a_folder_that_are_not_files_get_a_row(album):
    os.mkfifo("album/a/pipe.jpg")
    os.mkfifo("album/a/pipe")
    os.symlink("/dev/zero", "album/a/zero.png")
    os.symlink("nowhere", "album/a/broken.png")
    os.symlink("loop.png", "album/a/loop.png")
    with open("album/a/sparse.png", "wb") as file:
        file.truncate(20 << 30)
    status = {row["source"]: row["status"] for row in rows_of("album/a")}
    assert {os.path.basename(name): text for name, text in status.items() if text != "ok"} == {
        "pipe.jpg": "unreadable: this is a pipe, which may never end, not an image file",
        "zero.png": "unreadable: this is a device, not an image file",
        "broken.png": "unreadable: there is no such file",
        "loop.png": "unreadable: cannot be read (Too many levels of symbolic links)",
        "sparse.png": "unreadable: it has 21,474,836,480 bytes, more than 536,870,912, not an "
        "image file",
    }
    assert len(status) == 3 + 5


def test_photos_are_known_by_suffix_or_content(album):
    data = (album / "album/b.png").read_bytes()
    for name in ("scan", "text", "a.jfif", "b.JPE", "c.avif", "d.heic", "e.nef", "f.svg"):
        (album / "empty" / name).write_bytes(data if name != "text" else b"a text")
    status = {row["source"]: row["status"] for row in rows_of("empty")}
    read = ("a.jfif", "b.JPE", "c.avif", "d.heic", "scan")
    assert status == {f"empty/{name}": "ok" for name in read} | {
        "empty/e.nef": "unreadable: .nef files are not read; convert it to JPEG"
    }


def test_a_linked_folder_is_read(album):
    os.symlink(album / "album", "empty/linked")
    assert len(names("empty")) == 4


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("album/*.png", ["album/b.png"]),
        ("album/**/*.png", ["album/a/10.png", "album/a/2.png", "album/b.png"]),
        ("album/**", ["album/a/10.png", "album/a/2.png", "album/a/c/x.PNG", "album/b.png"]),
        ("**/b.png", ["album/b.png"]),
        ("a*/**/2.png", ["album/a/2.png"]),
        ("album/**/c/*", ["album/a/c/x.PNG"]),
        ("album/**/**/*.png", ["album/a/10.png", "album/a/2.png", "album/b.png"]),
        ("album/[ab]*", ["album/a/10.png", "album/a/2.png", "album/a/c/x.PNG", "album/b.png"]),
    ],
)
def test_a_pattern_selects_matching_photos(album, pattern, expected):
    assert names(pattern) == expected
    assert count_sources([pattern, "album/b.png"]) == len(expected) + 1


def test_patterns_without_matches(album):
    missing = "there is no such file, and no photo matches it as a pattern"
    for pattern in ("album/**/*.tif", "no/**/*.png", "album/b.png/**", "*.png"):
        assert problems(pattern) == {pattern: missing}
    pattern = f"{album}/**/2.png"
    assert names(pattern) == [f"{album}/album/a/2.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(album):
    write_image("album/[ab].png", photo())
    assert names("album/[ab].png") == ["album/[ab].png"]


def test_a_name_that_is_not_text_is_escaped(album):
    path = os.fsencode(album) + b"/\xff.png"
    os.replace("album/b.png", path)
    (row,) = rows_of(os.fsdecode(path))
    assert (row["source"], row["status"]) == (str(album) + "/\\xff.png", "ok")


def test_folders_of_a_list_that_cannot_be_read_do_not_hide_the_others(album):
    assert problems(["empty", "album/b.png"]) == {
        "empty": "there is no photo in this folder",
        "album/b.png": "",
    }


def test_photos_come_in_every_form(album):
    data = (album / "album/b.png").read_bytes()
    with open("album/b.png", "rb") as file:
        rows = rows_of([data, io.BytesIO(data), file, photo(), "album/b.png"])
    assert [row["source"] for row in rows] == ["[0]", "[1]", "album/b.png", "[3]", "album/b.png"]
    assert {row["status"] for row in rows} == {"ok"}


def test_a_file_object_may_be_passed_twice(album):
    file = io.BytesIO((album / "album/b.png").read_bytes())
    file.read()
    assert [row["status"] for row in rows_of([file, file, file], n_jobs=2)] == ["ok"] * 3


def test_contents_may_be_text(album):
    text = base64.b64encode((album / "album/b.png").read_bytes()).decode()
    text += " " * 90  # even a tiny photo is longer than most paths
    for images in (text, [text], [f"data:image/png;base64,{text}"], pd.Series([text])):
        (row,) = rows_of(images)
        assert (row["source"], row["status"]) == ("[0]", "ok")
    (row,) = rows_of("data:image/png;base64,iVBOR!")
    assert row["source"] == "[0]"
    assert row["status"].startswith("unreadable: the text 'data:image/png;base64,iVBOR!'… is no")


def test_addresses_are_refused_with_the_remedy():
    for address in ("https://example.org/a.jpg?size=[1]*", pathlib.PurePosixPath("s3://b/a.jpg")):
        (row,) = rows_of(address)
        assert row["source"] == str(address)
        assert row["status"] == "unreadable: this is a URL, and nothing is downloaded"


def test_a_name_that_no_file_can_have():
    images = ["a\0b.jpg", "b" * 300 + ".jpg", "\ud800.jpg", pathlib.Path("c\udcff.jpg")]
    rows = rows_of(images)
    assert [row["source"] for row in rows] == [images[0], images[1], r"\ud800.jpg", r"c\xff.jpg"]
    reasons = ("embedded null byte", "File name too long", "surrogates not allowed", "no such file")
    for row, reason in zip(rows, reasons, strict=True):
        assert reason in row["status"]


def test_text_that_is_not_a_path_is_named_by_its_position(album):
    rows = rows_of(["x" * 200_000, "album/b.png"])
    assert [row["source"] for row in rows] == ["[0]", "album/b.png"]
    assert rows[0]["status"] == (
        "unreadable: text of 200,000 characters, neither a path nor an image in base64"
    )


@pytest.mark.parametrize("name", ["a\n  b.jpg", "a. B.jpg", "b" * 300, " c\td.jpg "])
def test_a_reason_does_not_repeat_the_name(album, name):
    if len(name) < 300:
        pathlib.Path(name).write_text("text")
    (row,) = rows_of(name)
    assert row["source"] == name
    assert re.match(r"unreadable: (not an image in a known|cannot be read \(File)", row["status"])


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_pillow_image_without_pixels_costs_one_row(size):
    rows = rows_of([Image.new("RGB", size), photo()])
    assert rows[0]["status"].endswith(": a photo without pixels")
    assert rows[1]["status"] == "ok"


def test_pillow_images_are_photos():
    image = Image.fromarray(photo())
    assert [row["status"] for row in rows_of(image)] == ["ok"]
    assert [row["source"] for row in rows_of([image, image.convert("L")])] == ["[0]", "[1]"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_column_of_paths_is_a_list(album, library):
    column = pytest.importorskip(library).Series(["album/b.png", "no.jpg"])
    assert [row["status"] for row in rows_of(column)] == ["ok", "unreadable: there is no such file"]
    assert count_sources(column) == 2


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_other_columns_of_a_table_are_joined(album, library):
    content = {"person": ["a", "b", "c"], "file": ["album/b.png", "album/a", "no.jpg"]}
    table = pytest.importorskip(library).DataFrame(content | {"age": [1, 2, 3]})
    joined = predict_photos(table, Reader())
    assert list(joined.columns) == [*COLUMNS, "person", "age"]
    assert joined["person"].tolist() == ["a", "b", "b", "b", "c"]
    assert joined["age"].tolist() == [1, 2, 2, 2, 3]
    assert joined["source"].tolist() == [
        "album/b.png",
        *("album/a/10.png", "album/a/2.png", "album/a/c/x.PNG"),
        "no.jpg",
    ]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_numbers_of_a_table_are_joined_as_they_are(album, library):
    table = pytest.importorskip(library).DataFrame(
        {"file": ["album/b.png", "no.jpg"], "id": [2**60 + 1, None], "tags": [["x"], ["y", "z"]]},
        **({"dtype": object} if library == "pandas" else {}),
    )
    joined = predict_photos(table, Reader())
    assert joined["id"].tolist() == [2**60 + 1, None]
    assert joined["tags"].tolist() == [["x"], ["y", "z"]]


def test_columns_of_one_name_are_joined_once(album):
    table = pd.DataFrame([["album/b.png", 1, 2]], columns=["path", "x", "x"])
    joined = predict_photos(table, Reader())
    assert list(joined.columns) == [*COLUMNS, "x", "x"]
    assert joined.iloc[0, -2:].tolist() == [1, 2]


def test_a_table_can_include_provenance(album):
    table = pd.DataFrame({"path": ["album/b.png"], "x": [1]})
    joined = predict_photos(table, Reader(), provenance=True)
    assert list(joined.columns) == [*COLUMNS, "provenance", "x"]
    assert joined.attrs["provenance"].keys() == json.loads(joined["provenance"][0]).keys() != set()
    with pytest.raises(ValueError, match=r"the column\(s\) 'provenance', which the result has"):
        predict_photos(joined[["source", "provenance"]], Reader(), provenance=True)


def test_a_lazy_table_is_refused_with_the_remedy(album):
    table = pytest.importorskip("polars").DataFrame({"path": ["album/b.png"]}).lazy()
    with pytest.raises(TypeError, match=r"images is a LazyFrame; .* Call its method collect\."):
        predict_photos(table, Reader())


def test_the_index_of_a_table_does_not_matter(album):
    table = pd.DataFrame({"path": ["no.jpg", "album/b.png"], "n": [1, 2]}, index=[1, 0])
    joined = predict_photos(table, Reader())
    assert joined["n"].tolist() == [1, 2]
    assert joined.index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (["a", "b"], {}, r"images is a table with the columns 'a', 'b'; expected one column of"),
        (["file", "photo"], {}, r"expected one column of paths named 'path', 'file'"),
        (["path", "happy"], {}, r"images has the column\(s\) 'happy', which the result has too"),
        (["path", "path"], {}, r"with the columns 'path', 'path'; expected one column of paths"),
        (["path", "x"], {"output": "a.csv"}, r"output is given, but images is a table"),
    ],
)
def test_tables_that_cannot_be_joined(album, columns, options, message):
    table = pd.DataFrame([["album/b.png"] * len(columns)], columns=columns)
    read = []
    with pytest.raises(ValueError, match=message):
        predict_photos(table, Reader(), on_photo=read.append, **options)
    assert not read  # it is said before any work is done
    with pytest.raises((TypeError, ValueError), match=r"images is a table"):
        iter_photo_rows(table, Reader())


@pytest.mark.parametrize(
    ("images", "n_photos"),
    [
        (np.zeros((8, 8), np.uint8), 1),
        (np.array("a.png"), 1),
        (np.zeros((8, 8, 3), np.uint8), 1),
        (np.zeros((5, 8, 8)), 5),
        (np.zeros((5, 8, 8, 3)), 5),
        (np.array(["a.png", "b.png"]), 2),
        (b"bytes", 1),
    ],
)
def test_arrays_are_photos_or_stacks(images, n_photos):
    assert len(names(images)) == n_photos
    assert count_sources(images) == n_photos


def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"images is a dict; expected a path, a folder"):
        rows_of({"a": 1})
    with pytest.raises(TypeError, match=r"images is a int; expected"):
        rows_of(3)
    with pytest.raises(ValueError, match=r"images has shape \(3,\); expected one photo"):
        rows_of(np.zeros(3))


def test_an_iterator_has_no_length():
    assert count_sources(iter(["a.png"])) is None


@pytest.mark.slow
def test_a_million_photos_need_no_memory():
    import tracemalloc

    images = (photo(0) for _ in range(20_000))
    rows = iter_photo_rows(images, Reader(), n_jobs=1)
    for _ in range(2000):
        next(rows)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in rows:
        pass
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 100_000


@pytest.mark.slow
def test_the_first_photos_may_be_read_by_many_threads_of_many_processes():
    """OpenCV's loader is not made for two threads, which shows on a busy machine."""
    code = """
import threading
import numpy as np
from fer_sklearn import predict_photos, recognize

start, errors = threading.Barrier(8), []

def work():
    start.wait()
    try:
        recognize(np.zeros((60, 60), np.uint8), "tiny")
    except BaseException as error:
        errors.append(repr(error))

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
predict_photos([np.zeros((60, 60), np.uint8)] * 16, "tiny", n_jobs=8, progress=False)
assert not errors, errors
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(10)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
