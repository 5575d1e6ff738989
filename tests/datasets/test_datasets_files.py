"""Real-world tables and archives: in many dialects, compressed, damaged or hostile."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile

import numpy as np
import pytest

from fer_sklearn import load_dataset, load_fer2013, load_image_folder, make_faces
from fer_sklearn.datasets import load_ferplus
from fer_sklearn.emotions import EMOTIONS, FER2013_CODES, FERPLUS_COLUMNS
from fer_sklearn.exceptions import DatasetFormatError, ImageReadError
from fer_sklearn.images import write_image

FACES = make_faces(7, random_state=0)
TEXTS = [" ".join(map(str, row.tolist())) for row in FACES.data]
CODES = [FER2013_CODES.index(emotion) for emotion in FACES.target]
ROWS = list(zip(CODES, TEXTS, strict=True))
TABLE = "emotion,pixels,Usage\n" + "".join(f"{c},{p},Training\n" for c, p in ROWS)
VOTES = "file," + ",".join(FERPLUS_COLUMNS) + "\n"
VOTES += "".join(f"{i}.png,{i},1,2,0,0,3,1,1,1,1\n" for i in range(7))
NAMES = [f"train/{label}/Training_{i}.png" for i, label in enumerate(FACES.target)]


def tar_of(members, mode="w"):
    """Return the bytes of a tar archive; `members` are names and contents."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def zip_of(members, compression=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    path = tmp_path_factory.mktemp("members") / "x.png"
    contents = []
    for image in FACES.images:
        write_image(path, image)
        contents.append(path.read_bytes())
    return list(zip(NAMES, contents, strict=True))


# -- dialects -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace("\n", "\r\n"),
        "\ufeff" + TABLE,
        TABLE.replace("emotion,pixels,Usage", " EMOTION , Pixels ,USAGE"),
        "Usage,pixels,emotion\n" + "".join(f'Training,"{p}",{c}\n' for c, p in ROWS),
        "id,pixels,emotion\n" + "".join(f"{i},{p},{c}.0\n" for i, (c, p) in enumerate(ROWS)),
        '"pixels";"emotion"\n' + "".join(f'"{p}";"{c}"\n' for c, p in ROWS),
    ],
    ids=["semicolons", "tabs", "windows", "mark", "case", "quotes", "more columns", "both"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_in_other_dialects(tmp_path, text, encoding):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text.encode(encoding))
    data = load_fer2013(path)
    np.testing.assert_array_equal(data.images, FACES.images)
    assert data.target.tolist() == FACES.target.tolist()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_tables(tmp_path, compress):
    path = tmp_path / "fer2013.csv.xx"
    path.write_bytes(compress(TABLE.encode()))
    np.testing.assert_array_equal(load_fer2013(path).images, FACES.images)
    np.testing.assert_array_equal(load_dataset(path).images, FACES.images)
    with pytest.raises(ValueError, match="subset='test' is not a subset of FER2013"):
        load_dataset(path, subset="test")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_archives(tmp_path, members, mode):
    path = tmp_path / "fer2013.tar"
    table = [("fer2013/README", b"no table"), ("fer2013/fer2013.csv", TABLE.encode())]
    path.write_bytes(tar_of(table, mode))
    np.testing.assert_array_equal(load_fer2013(path).images, FACES.images)
    path.write_bytes(tar_of([*members, ("train/._1.png", b"")], mode))
    order = np.argsort(NAMES)
    for data in (load_fer2013(path), load_image_folder(path)):
        np.testing.assert_array_equal(data.images, FACES.images[order])
        assert data.target.tolist() == FACES.target[order].tolist()


def test_votes_in_other_dialects(tmp_path):
    path = tmp_path / "fer2013new.csv.gz"
    expected = None
    for text in (VOTES, VOTES.replace(",", ";"), "\ufeff" + VOTES.replace("file", "FILE")):
        path.write_bytes(gzip.compress(text.encode()))
        votes = load_ferplus(path, ["3.png", "6.png", "none.png"])
        expected = votes if expected is None else expected
        np.testing.assert_array_equal(votes, expected)
    assert expected[:, 0].tolist() == [3, 6, 0]
    assert expected.sum(axis=1).tolist() == [13, 16, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            VOTES.replace("3.png,3", "3.png,-3"),
            "the row of '3.png' does not have ten non-negative integers",
        ),
        (
            VOTES.replace("3.png,3", "3.png,2.5"),
            "the row of '3.png' does not have ten non-negative integers",
        ),
        (VOTES + "3.png,9,1,2,0,0,3,1,1,1,1\n", "several rows for '3.png' with different votes"),
        (VOTES.replace("happy", "Neutral"), "several columns 'neutral'"),
        (VOTES.replace("file,", "file,joy,"), "has several columns for 'happy': joy, happy"),
        ("", "not a valid CSV file"),
    ],
)
def test_wrong_votes_are_refused(tmp_path, text, message):
    path = tmp_path / "fer2013new.csv"
    path.write_text(text)
    with pytest.raises(DatasetFormatError, match=message):
        load_ferplus(path, ["3.png", "6.png"])


# -- damaged and hostile files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotion,Emotion,pixels\n0,0,1", "several columns 'emotion', and their case is ignored"),
        ("emotion,pixels,usage,usage\n0,1,x,x", "several columns 'usage"),
        ("emotion,pixels\n0,1 2,3\n", "more fields than the header"),
        ("emotion,pixels\n", "contains no row or image"),
        ("", "not a valid CSV file"),
        (TABLE.replace(f"{CODES[4]},{TEXTS[4]}", f"{CODES[4]},1 2"), "row 5 .*: 2 pixels"),
        (TABLE + '1,"1 2', "not a valid CSV file"),
        (TABLE.replace(f"{CODES[2]},", "9,"), "row 3 .*: emotion is '9'"),
    ],
)
@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())])
def test_damaged_tables_are_refused(tmp_path, text, message, pack):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(pack(text))
    with pytest.raises(DatasetFormatError, match=f"^{re.escape(str(path))}.*{message}"):
        load_fer2013(path)


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/x.png", "C:\\x.png"])
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, members, name, pack):
    path = tmp_path / "x"
    path.write_bytes(pack([*members, (name, b"")]))
    for load in (load_fer2013, load_image_folder, load_dataset):
        with pytest.raises(DatasetFormatError, match="a path that leads out of the archive"):
            load(path)


def test_bombs_are_refused(tmp_path):
    zeros = bytes(70_000_000)
    path = tmp_path / "x"
    for content in (gzip.compress(zeros), zip_of([("happy/1.png", zeros)])):
        path.write_bytes(content)
        with pytest.raises(DatasetFormatError, match="expected at most 200 times its size"):
            load_dataset(path)


def test_sparse_files_in_archives_are_not_expanded(tmp_path):
    header = bytearray(tarfile.TarInfo("happy/1.png").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"77777777777\0"
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "x.tar"
    path.write_bytes(bytes(header) + bytes(10_240 - len(header)))
    with pytest.raises(DatasetFormatError, match="expected at most 200 times its size"):
        load_image_folder(path)


@pytest.mark.parametrize("head", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x89PNG\r\n\x1a\n\0\0"])
def test_other_files_are_neither_tables_nor_archives(tmp_path, head):
    path = tmp_path / "x"
    path.write_bytes(head + b"contents")
    for load in (load_fer2013, load_image_folder, load_dataset):
        with pytest.raises(DatasetFormatError, match="neither a folder nor an intact zip or tar"):
            load(path)


def test_a_truncated_tar_archive_is_refused(tmp_path, members):
    path = tmp_path / "x.tar"
    whole = tar_of(members)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetFormatError, match=re.escape(f"{path}: ")):
        load_fer2013(path)


def test_encrypted_archives_say_what_to_do(tmp_path, members):
    content = bytearray(zip_of(members, zipfile.ZIP_STORED))
    for start in (m.start() for m in re.finditer(b"PK\1\2", content)):
        content[start + 8] |= 1
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=r"cannot be unpacked .*Unpack the archive and pass"):
        load_fer2013(path)


def _damaged(content, rng):
    """Return a file with a few bytes, lines or fields changed, cut off, moved or doubled."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        kind, size = rng.integers(8), len(content)
        start = int(rng.integers(size + 1))
        # Headers and directories are at the ends.
        start = [start, min(start, 120), max(0, size - 1 - start % 400)][rng.integers(3)]
        end = start + int(rng.choice([1, 4, 60, 3000]))
        if kind == 0:
            content[start:end] = rng.bytes(len(content[start:end]))
        elif kind == 1:
            del content[start:]
        elif kind == 2:
            del content[start:end]
        elif kind == 3:
            content[start:start] = content[start:end]
        elif kind == 4:
            content[start:end] = bytes(len(content[start:end]))
        elif kind == 5:
            content[start:start] = _STRANGE[rng.integers(len(_STRANGE))]
        elif kind == 6 and start < size:
            content[start] ^= 1 << rng.integers(8)
        else:
            lines = bytes(content).split(b"\n")
            rng.shuffle(lines)
            content = bytearray(b"\n".join(lines))
    return bytes(content)


_STRANGE = (
    *(b",", b";", b"\t", b'"', b"'", b"\n", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1a"),
    *(b"-1", b"256", b"1e3", b"nan", b"inf", b"99999999999999999999", b"0x10", b"1_0", b" "),
    *(b"../", b"/", b"\\", b"PK\1\2", b"PK\5\6", b"emotion", b"Usage,", b"\xd9\xa3", b"\xc3\x28"),
)


def _outcome(load, path):
    """Return the data, or the library's error as a text."""
    try:
        return load(path)
    except (DatasetFormatError, ImageReadError) as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(5))
def test_500_damaged_tables_and_archives_end_well(tmp_path, members, seed):
    rng = np.random.default_rng(seed)
    few = TABLE.split("\n")
    table = "\n".join(few[:4]).encode() + b"\n"
    wide, quoted = table.decode().encode("utf-16"), table.replace(b",", b'";"')
    tables = [("fer2013/fer2013.csv", table), ("README", b"FER2013")]
    sources = [
        *(table, table, wide, quoted, gzip.compress(table), bz2.compress(table)),
        *(zip_of(tables), zip_of(tables, zipfile.ZIP_STORED), zip_of(members[:3])),
        *(zip_of(members[:3], zipfile.ZIP_STORED), zip_of(members[:3], zipfile.ZIP_LZMA)),
        *(zip_of(members[:3], zipfile.ZIP_BZIP2), tar_of(tables), tar_of(tables, "w:gz")),
        *(tar_of(members[:3]), tar_of(members[:3], "w:xz"), VOTES.encode()),
    ]
    n_refused = 0
    for i in range(500):
        source = sources[i % len(sources)]
        path = tmp_path / f"{i}{rng.choice(['', '.csv', '.zip', '.tar.gz'])}"
        path.write_bytes(_damaged(source, rng))
        loaders = [load_fer2013, load_dataset, load_image_folder]
        if source is sources[-1]:
            loaders = [lambda path: load_ferplus(path, ["1.png", "3.png", "6.png"])]
        for load in loaders:
            data = _outcome(load, path)
            if isinstance(data, str):
                # Paths may be in the middle: "happy/1.png in x.zip".
                assert str(path) in data
                n_refused += 1
            elif load is loaders[0] and len(loaders) == 1:
                assert data.shape == (3, 10)
                assert (data >= 0).all()
            elif load is load_fer2013:
                assert data.images.dtype == np.uint8
                assert data.images.shape == (len(data.target), 48, 48)
                assert set(data.target.tolist()) <= set(EMOTIONS)
        path.unlink()
    assert 500 < n_refused < 1500
