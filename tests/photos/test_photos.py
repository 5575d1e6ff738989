"""Rows of photos: order, status, batches, threads, and kinds of input."""

import io
import os
import threading
import time

import numpy as np
import pytest
from photo_reader import COLUMNS, Reader, photo

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
    assert len(seen) <= 16 + 3 * 3 + 1
    happy = [first["happy"], *(row["happy"] for row in rows)]
    assert happy == [i / 255 for i in range(200)]
    assert len(reader.threads) > 1


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
        ({"batch_size": 2.0}, r"batch_size=2\.0; expected an int above 0\."),
        ({"n_jobs": 0}, r"n_jobs=0; expected an int above 0, or -1 for all processors\."),
    ],
)
def test_numbers_are_checked_before_any_work(options, message):
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


# Kinds of input


def test_the_photos_of_a_folder_are_sorted(album):
    expected = ["album/a/10.png", "album/a/2.png", "album/a/c/x.PNG", "album/b.png"]
    assert names("album") == expected
    assert names(album / "album") == [str(album / name) for name in expected]
    assert [row["status"] for row in rows_of("album")] == ["ok"] * 4


def test_a_folder_that_links_to_itself_is_read_once(album):
    os.symlink(album / "album", "album/a/again")
    assert len(names("album")) == 4


def test_a_linked_folder_is_read(album):
    os.symlink(album / "album", "empty/linked")
    assert len(names("empty")) == 4


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("album/*.png", ["album/b.png"]),
        ("album/**/*.png", ["album/a/10.png", "album/a/2.png", "album/b.png"]),
        ("album/**", ["album/a/10.png", "album/a/2.png", "album/a/c/x.PNG", "album/b.png"]),
        ("album/[ab]*", ["album/a/10.png", "album/a/2.png", "album/a/c/x.PNG", "album/b.png"]),
    ],
)
def test_a_pattern_selects_matching_photos(album, pattern, expected):
    assert names(pattern) == expected
    assert count_sources([pattern, "album/b.png"]) == len(expected) + 1


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


@pytest.mark.parametrize(
    ("images", "n_photos"),
    [
        (np.zeros((8, 8), np.uint8), 1),
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
