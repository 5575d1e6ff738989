"""Output files of `predict_photos`: complete rows in any event, and resuming."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import photo_reader
import pytest
from photo_reader import CLASSES, COLUMNS, Reader, photo

from fer_sklearn._utils.tables import CSVLines, row_columns
from fer_sklearn.images import write_image
from fer_sklearn.photos import PhotoSummary, iter_photo_rows, predict_photos

FORMATS = (".csv", ".jsonl", ".parquet")


class CountingReader(Reader):
    """Counts the photos it processes."""

    def __init__(self):
        super().__init__()
        self.n_photos = 0

    def detect(self, photo):
        self.n_photos += 1
        return super().detect(photo)


def read(path):
    """Read an output file of any format as text, or return None if it is missing."""
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as file:
            return [
                {name: value or None for name, value in row.items()} for row in csv.DictReader(file)
            ]
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        pa = pytest.importorskip("pyarrow.parquet")
        rows = pa.read_table(path).to_pylist()
    return [
        {name: None if value is None else str(value) for name, value in row.items()} for row in rows
    ]


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Paths of nine photos, which alternate between two, one and no faces; one is not a photo."""
    monkeypatch.chdir(tmp_path)
    paths = []
    for i in range(9):
        paths.append(f"photo{i}.png")
        write_image(paths[-1], photo(2 - i % 3, 28 * i))
    (tmp_path / "photo4.png").write_text("no photo, but a text")
    return paths


@pytest.fixture(params=FORMATS)
def output(request, album):
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return Path(f"rows{request.param}")


def expected_rows(album):
    rows = iter_photo_rows(album, Reader())
    return [(row["source"], row["status"], row["emotion"] or "") for row in rows]


def found_rows(path):
    return [(row["source"], row["status"], row["emotion"] or "") for row in read(path)]


def partial_of(path):
    return path.with_name(path.name + ".partial") if path.suffix == ".parquet" else path


def test_the_file_contains_the_rows(album, output):
    summary = predict_photos(album, Reader(), output=output)
    assert found_rows(output) == expected_rows(album)
    assert [list(row) for row in read(output)] == [COLUMNS] * 12
    assert summary == PhotoSummary(output, 9, 8, 3, 1, 0)
    assert os.listdir(".").count(output.name) == 1
    assert not list(Path().glob("*.partial"))
    assert not list(Path().glob(".*.tmp"))


def test_pandas_reads_each_format(album, output):
    predict_photos(album, Reader(), output=output)
    if output.suffix == ".csv":
        table = pd.read_csv(output)
    elif output.suffix == ".jsonl":
        table = pd.read_json(output, lines=True)
    else:
        table = pd.read_parquet(output)
    expected = predict_photos(album, Reader())
    assert table["status"].tolist() == expected["status"].tolist()
    assert table["happy"].dropna().tolist() == pytest.approx(
        expected["happy"].dropna().tolist(), abs=1e-6
    )


def test_a_run_resumes_after_the_photos_in_the_file(album, output):
    with pytest.raises(KeyboardInterrupt):
        predict_photos(_interrupted(album, 5), Reader(), output=output, batch_size=2, n_jobs=1)
    assert partial_of(output).stat().st_size > 0
    assert output.exists() == (output.suffix != ".parquet")
    reader = CountingReader()
    summary = predict_photos(album, reader, output=output)
    assert found_rows(output) == expected_rows(album)
    # The last photo in the file, the fourth, is processed again.
    assert summary == PhotoSummary(output, 9, 8, 3, 1, 3)
    assert reader.n_photos == 5


def _interrupted(paths, after):
    yield from paths[:after]
    raise KeyboardInterrupt


def test_a_complete_file_is_resumed_with_further_photos(album, output):
    predict_photos(album[:6], Reader(), output=output)
    reader = CountingReader()
    summary = predict_photos(album, reader, output=output)
    assert found_rows(output) == expected_rows(album)
    assert (summary.n_resumed, reader.n_photos) == (5, 4)
    again = predict_photos(album, reader, output=output)
    assert found_rows(output) == expected_rows(album)
    assert (again.photos, again.n_resumed) == (9, 8)


@pytest.mark.parametrize("provenance", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_file_truncated_anywhere_is_repaired(album, suffix, provenance):
    output = Path(f"rows{suffix}")
    paths = [*album, 'odd "na\nme".png']
    write_image("odd.png", photo(2, 3))
    os.replace("odd.png", paths[-1])
    paths.append("photo0.png")
    options = {"output": output, "provenance": provenance, "n_jobs": 1}
    predict_photos(paths, Reader(), **options)
    whole = output.read_bytes()
    for size in range(0, len(whole), 1 + len(whole) // 300):
        output.write_bytes(whole[:size] + bytes(99 * (size % 2)))  # as after a power cut
        predict_photos(paths, Reader(), **options)
        assert output.read_bytes() == whole, size


def test_the_same_photo_twice_is_two_photos(album, output):
    images = ["photo0.png", "photo0.png", "photo2.png", "photo2.png"]
    predict_photos(images, Reader(), output=output)
    assert len(read(output)) == 6
    assert predict_photos(images, Reader(), output=output).photos == 4


def test_overwrite_starts_over(album, output):
    predict_photos(album, Reader(), output=output)
    summary = predict_photos(album[6:], Reader(), output=output, overwrite=True)
    assert (summary.photos, summary.n_resumed) == (3, 0)
    assert found_rows(output) == expected_rows(album[6:])


def test_an_empty_run_leaves_an_empty_table(album, output):
    assert predict_photos([], Reader(), output=output).photos == 0
    assert read(output) == []
    assert predict_photos(album, Reader(), output=output).photos == 9


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            ["photo1.png", "photo0.png"],
            "contains 'photo0.png' as photo 1, but 'photo1.png' was passed there",
        ),
        (["photo0.png"], "contains 2 photo(s) or more, the last of them 'photo1.png'; fewer were"),
    ],
)
def test_other_photos_are_rejected(album, output, images, message):
    predict_photos(album, Reader(), output=output)
    before = output.read_bytes()
    remedy = (
        "Repeat the original call, choose another output file, or pass overwrite=True to start "
        "over."
    )
    with pytest.raises(ValueError, match=f"{re.escape(message)}.*\\. {re.escape(remedy)}$"):
        predict_photos(images, Reader(), output=output)
    assert output.read_bytes() == before


def test_other_columns_are_rejected(album, output):
    predict_photos(album, Reader(), output=output)
    reader = Reader()
    reader.classes = ["glad", "sad"]
    before = output.read_bytes()
    with pytest.raises(ValueError, match=r"has the columns source, .*, happy, sad, status; "):
        predict_photos(album, reader, output=output)
    assert output.read_bytes() == before


def test_the_results_of_another_model_are_rejected(album, output):
    predict_photos(album[:4], Reader(), output=output)
    other = Reader()
    other.predict = lambda crops: Reader.predict(other, [255 - p for p in crops])
    before = output.read_bytes()
    with pytest.raises(
        ValueError, match=r"of 'photo3.png' that differ from those found now: it was written by"
    ):
        predict_photos(album, other, output=output)
    assert output.read_bytes() == before


def test_a_model_that_differs_in_its_labels_or_probabilities_alone_is_another_one(album, output):
    class Abstaining(Reader):
        def predict(self, crops):
            labels, y_proba = super().predict(crops)
            return np.array(["uncertain"] * len(labels)), y_proba

    class Silent(Reader):
        def predict(self, crops):
            labels, y_proba = super().predict(crops)
            return labels, np.full_like(y_proba, np.nan)

    readers = Reader(), Abstaining(), Silent()
    for first in readers:
        predict_photos(album[:4], first, output=output, overwrite=True)
        for reader in readers:
            if reader is not first:
                with pytest.raises(ValueError, match="written by another model"):
                    predict_photos(album, reader, output=output)
        assert predict_photos(album, first, output=output).photos == 9


def test_a_photo_that_became_readable_does_not_count_as_another_model(album, output):
    predict_photos(album[:5], Reader(), output=output)
    write_image("photo4.png", photo(1, 9))
    assert predict_photos(album, Reader(), output=output).unreadable == 0


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"name,age\nA,3\n", b'{"a": 1}\n', b"text", b"\xff\xfe\n\n"])
def test_a_file_of_something_else_is_not_touched(album, suffix, content):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    output = Path(f"mine{suffix}")
    output.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"output='mine{suffix}' (has|is|ends|lacks) .*overwrite=True"
    ):
        predict_photos(album, Reader(), output=output)
    assert output.read_bytes() == content
    assert not list(Path().glob("*.partial"))


@pytest.mark.parametrize("row", ["photo0.png,0,1,1\n", "photo0.png,zero,,,,,,,,,ok\n", 'a"b\n'])
def test_a_damaged_row_is_reported(album, row):
    Path("rows.csv").write_bytes(CSVLines(row_columns(CLASSES)).header + row.encode() * 2)
    with pytest.raises(ValueError, match=r"has an invalid row 2\. Repeat the original call"):
        predict_photos(album, Reader(), output="rows.csv")


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (
            "rows.txt",
            ValueError,
            r"ends in '\.txt'; expected one of \.csv, \.jsonl, \.parquet\.",
        ),
        (
            "no/rows.csv",
            FileNotFoundError,
            r"folder that does not exist, '.*/no'\. Create it first\.",
        ),
        ("folder.csv", IsADirectoryError, r"output='folder\.csv' is a folder; name a file in it"),
        ("pipe.csv", ValueError, r"output='pipe\.csv' is a pipe or a device, .* cannot resume"),
    ],
)
def test_an_impossible_output_is_reported_before_any_work(
    tmp_path, monkeypatch, output, error, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    if output == "pipe.csv":
        pytest.importorskip("fcntl", reason="Windows has no such files")
        os.mkfifo(output)
    with pytest.raises(error, match=message):
        predict_photos(["a.png"], object(), output=output)


def test_an_output_without_write_permission_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"cannot be written: permission denied"):
        predict_photos(["a.png"], object(), output=tmp_path / "rows.csv")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'fer_sklearn\[parquet\]'"):
        predict_photos(["a.png"], object(), output=tmp_path / "rows.parquet")


KILLED = """
import sys
import time
sys.path.insert(0, {helpers!r})
from photo_reader import Reader
from fer_sklearn.photos import predict_photos

class Slow(Reader):
    def detect(self, photo):
        time.sleep(0.01)
        return super().detect(photo)

predict_photos({album!r}, Slow(), output={output!r}, batch_size=3)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_kill_9_at_any_moment_is_harmless(tmp_path, output, monkeypatch):
    """A process is killed again and again, until one reaches the end."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("album")
    for i in range(150):
        write_image(f"album/{i:03}.png", photo(i % 4, i))
    helpers = str(Path(photo_reader.__file__).parent)
    script = textwrap.dedent(KILLED.format(helpers=helpers, album="album", output=str(output)))
    for size in (1, 4000, None):
        with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
            if size is None:
                assert process.wait() == 0, process.stderr.read()
            else:
                _wait_for_size(partial_of(output), size, process)
                process.send_signal(signal.SIGKILL)
    assert found_rows(output) == expected_rows("album")
    assert sorted(os.listdir(".")) == sorted({"album", output.name, *_photos_of_fixture()})


def _wait_for_size(path, size, process):
    while not path.exists() or path.stat().st_size < size:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def _photos_of_fixture():
    return [f"photo{i}.png" for i in range(9)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_shorter_line_overwrites_a_longer_one(tmp_path, suffix):
    path, output, other = tmp_path / "a.png", tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    path.write_bytes(b"not an image, for which the reason is long")
    assert predict_photos([path], Reader(), output=output).unreadable == 1
    write_image(path, photo(0))
    assert predict_photos([path], Reader(), output=output).no_face == 1
    predict_photos([path], Reader(), output=other)
    assert output.read_bytes() == other.read_bytes()


# Names, locks and provenance


NAMES = (
    *("a.png", "b\rc.png", "d\ne.png", "f\r\n.png", 'g"h.png', "i,j.png", "k\u2028l.png"),
    *(
        "日本 😀.png",
        " .png",
        "'.png",
        "=1+1.png",
        "x" * 251 + ".png",
        os.fsdecode(b"\xff\xfe.png"),
    ),
)


@pytest.fixture
def named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("named")
    write_image("a.png", photo())
    data = Path("a.png").read_bytes()
    for name in NAMES:
        Path("named", name).write_bytes(data)
    return "named"


@pytest.mark.parametrize("suffix", FORMATS)
def test_any_file_name_survives(named, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    output = Path(f"rows{suffix}")
    expected = [row["source"] for row in iter_photo_rows(named, Reader())]
    assert len(set(expected)) == len(NAMES)
    for n_resumed in (0, len(NAMES) - 1):
        summary = predict_photos(named, Reader(), output=output)
        assert (summary.photos, summary.n_resumed) == (len(NAMES), n_resumed)
        assert [row["source"] for row in read(output)] == expected
    if suffix == ".csv":
        assert pd.read_csv(output)["source"].tolist() == expected
        with pytest.raises(KeyboardInterrupt):
            predict_photos(_interrupted([named, named], 1), Reader(), output="b.csv", n_jobs=1)
        assert predict_photos([named, named], Reader(), output="b.csv").photos == 2 * len(NAMES)


def _wait_for(path):
    for _ in range(3000):
        if path.exists() and path.stat().st_size:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} was not written")


def test_an_empty_name_survives(album, output):
    # As of an empty cell in a column of paths.
    for n_resumed in (0, 2):
        assert predict_photos(["", *album[:2]], Reader(), output=output).n_resumed == n_resumed
    sources = [row["source"] or "" for row in read(output)]
    assert sources == ["", "photo0.png", "photo0.png", "photo1.png"]


def test_an_output_may_have_a_long_name(album, output):
    ending = ".partial" if output.suffix == ".parquet" else ""
    output = Path("é" * ((255 - len(output.suffix + ending)) // 2) + output.suffix)
    for n_resumed in (0, 8):
        assert predict_photos(album, Reader(), output=output).n_resumed == n_resumed
    assert not [name for name in os.listdir() if name.startswith(".")]


def test_two_runs_do_not_write_one_file(album, output):
    lock = Path(f".{output.name}.lock")

    def photos():
        yield album[0]
        with pytest.raises(BlockingIOError, match=rf"written by process {os.getpid()}\. Wait"):
            predict_photos(album, Reader(), output=output)
        assert lock.read_text() == str(os.getpid())
        yield from album[1:]

    summary = predict_photos(photos(), Reader(), output=output, n_jobs=1)
    assert summary == PhotoSummary(output, 9, 8, 3, 1, 0)
    assert not lock.exists()


def test_a_lock_ends_with_its_process(album, tmp_path):
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(photo_reader.__file__).parent)!r})
from photo_reader import Reader
from fer_sklearn.photos import predict_photos

def photos():
    yield "photo0.png"
    time.sleep(600)

predict_photos(photos(), Reader(), output="rows.csv", n_jobs=1, batch_size=1)
"""
    lock = Path(".rows.csv.lock")
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        _wait_for(Path("rows.csv"))
        with pytest.raises(BlockingIOError, match=rf"written by process {process.pid}\."):
            predict_photos(album, Reader(), output="rows.csv")
        process.kill()
    assert lock.read_text() == str(process.pid)
    assert predict_photos(album, Reader(), output="rows.csv").photos == 9
    assert not lock.exists()


class Named(Reader):
    """A reader with provenance."""

    def __init__(self, version="1"):
        super().__init__()
        self.version = version
        self.n_calls = 0

    def provenance(self):
        self.n_calls += 1
        return {"model": "named", "version": self.version}


def test_files_can_include_provenance(album, output):
    reader = Named()
    predict_photos(album, reader, output=output, provenance=True)
    assert reader.n_calls == 1
    made_by = {"model": "named", "version": "1"}
    if output.suffix == ".csv":
        beside = json.loads(Path("rows.csv.provenance.json").read_text(encoding="utf-8"))
        assert beside == made_by
        assert len(pd.read_csv(output)) == 12
    elif output.suffix == ".jsonl":
        first, *rest = output.read_text().splitlines()
        assert json.loads(first) == {"provenance": made_by}
        assert len(rest) == 12
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        assert json.loads(parquet.read_schema(output).metadata[b"provenance"]) == made_by
        assert len(pd.read_parquet(output)) == 12
    again = predict_photos(album, Named(), output=output, provenance=True)
    assert again.n_resumed == 8
    # Nor are other rows added if the second call does not ask for it: the file would be wrong.
    for asked in (True, False):
        with pytest.raises(ValueError, match=r"made differently, .*: version differ"):
            predict_photos(album, Named("2"), output=output, provenance=asked)
    assert predict_photos(album, Named(), output=output).n_resumed == 8


@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_a_new_csv_file_has_no_old_provenance(album, change):
    beside = Path("rows.csv.provenance.json")
    predict_photos(album, Named(), output="rows.csv", provenance=True)
    assert beside.exists()
    if change == "deleted":
        Path("rows.csv").unlink()
    predict_photos(album, Named("2"), output="rows.csv", overwrite=change == "overwritten")
    assert not beside.exists()


def test_rows_without_provenance_are_not_given_one(album, output):
    predict_photos(album, Named(), output=output)
    with pytest.raises(ValueError, match=r"does not record how: model, version differ"):
        predict_photos(album, Named(), output=output, provenance=True)


def test_tables_can_include_provenance(album):
    reader = Named()
    table = predict_photos(album, reader, provenance=True)
    assert reader.n_calls == 1  # the checksum of a large estimator takes long
    made_by = {"model": "named", "version": "1"}
    assert table.attrs["provenance"] == made_by
    assert list(table.columns) == [*COLUMNS, "provenance"]
    assert set(table["provenance"]) == {json.dumps(made_by)}
    plain = predict_photos(album, Named())
    assert (list(plain.columns), plain.attrs) == (COLUMNS, {})


def test_a_summary_is_a_line(album):
    summary = predict_photos(album, Reader(), output="rows.csv")
    assert summary.seconds > 0
    assert str(summary) == (
        f"9 photo(s); 8 face(s); 3 photo(s) without a face, 1 unreadable; {summary.seconds:.1f} s"
    )
