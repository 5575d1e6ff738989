import gc
import re
import warnings
import zipfile

import numpy as np
import pytest

from fer_sklearn import duplicate_report, load_fer2013, make_faces
from fer_sklearn.emotions import EMOTIONS, FER2013_CODES
from fer_sklearn.exceptions import DatasetFormatError, ImageReadError
from fer_sklearn.images import write_image

FACES = make_faces(21, random_state=0)
USAGE = ["Training"] * 11 + ["PublicTest"] * 6 + ["PrivateTest"] * 4
SUBSET = np.array(["train"] * 11 + ["public"] * 6 + ["private"] * 4)
TEXTS = [" ".join(map(str, row.tolist())) for row in FACES.data]
CODES = [FER2013_CODES.index(emotion) for emotion in FACES.target]
STYLES = {
    "fer2013.csv": ("emotion,pixels,Usage", "{code},{pixels},{usage}"),
    "icml_face_data.csv": ("emotion, Usage, pixels", "{code}, {usage}, {pixels}"),
    "train.csv": ("emotion,pixels", '{code},"{pixels}"'),
}


def table(style="fer2013.csv", **changes):
    """Return the text of a table; `changes` replace a column's value in row 3 of the data."""
    header, form = STYLES[style]
    rows = [
        {"code": code, "pixels": pixels, "usage": usage}
        for code, pixels, usage in zip(CODES, TEXTS, USAGE, strict=True)
    ]
    rows[2] |= changes
    return "\n".join([header, *(form.format(**row) for row in rows)]) + "\n"


def write_tree(folder, split=("train", "test", "test"), suffix=".png"):
    prefix = {"train": "Training", "public": "PublicTest", "private": "PrivateTest"}
    parents = dict(zip(("train", "public", "private"), split, strict=True))
    for i, (image, emotion, subset) in enumerate(
        zip(FACES.images, FACES.target, SUBSET, strict=True)
    ):
        path = folder / parents[subset] / emotion / f"{prefix[subset]}_{i:05}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image)
    return folder


def zip_of(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


@pytest.mark.parametrize("style", STYLES)
def test_table_in_every_style(tmp_path, style):
    path = tmp_path / style
    path.write_text(table(style))
    data = load_fer2013(path, subset="train" if style == "train.csv" else "all")
    np.testing.assert_array_equal(data.images, FACES.images)
    np.testing.assert_array_equal(data.target, FACES.target)
    expected = "train" if style == "train.csv" else SUBSET
    assert (data.subset == expected).all()


@pytest.mark.parametrize("subset", ["train", "public", "private"])
@pytest.mark.parametrize("form", ["table", "folder", "zip of table", "zip of folder"])
def test_subset_of_every_form(tmp_path, form, subset):
    folder = tmp_path / "top" / "nested"
    folder.mkdir(parents=True)
    if "table" in form:
        (folder / "fer2013.csv").write_text(table())
        path = folder / "fer2013.csv"
    else:
        path = write_tree(folder)
    if "zip" in form:
        path = zip_of(tmp_path / "top", tmp_path / "any.zip")
    data = load_fer2013(path, subset=subset)
    assert set(data.subset.tolist()) == {subset}
    # Tables keep their order, images are sorted by name.
    order = np.flatnonzero(subset == SUBSET)
    if "folder" in form:
        order = order[np.argsort(FACES.target[order], kind="stable")]
    np.testing.assert_array_equal(data.images, FACES.images[order])
    np.testing.assert_array_equal(data.target, FACES.target[order])


def test_bunch(tree):
    data = load_fer2013(tree, subset="all")
    assert data.images.shape == (21, 48, 48)
    assert data.images.dtype == np.uint8
    assert data.data.shape == (21, 2304)
    assert np.shares_memory(data.data, data.images)
    assert data.target_names.tolist() == list(EMOTIONS)
    assert data.subset.tolist() == SUBSET.tolist()
    assert data.filenames[0].startswith("train/angry/Training_")
    assert "1307.0414" in data.DESCR


def test_return_X_y(tree):
    X, y = load_fer2013(tree, return_X_y=True)
    data = load_fer2013(tree)
    np.testing.assert_array_equal(X, data.images)
    np.testing.assert_array_equal(y, data.target)


def test_jpeg_folder(tmp_path):
    data = load_fer2013(write_tree(tmp_path, suffix=".jpg"), subset="all")
    expected = load_fer2013(write_tree(tmp_path / "png"), subset="all")
    np.testing.assert_array_equal(data.target, expected.target)
    assert np.abs(data.images.astype(int) - expected.images).mean() < 4


def test_folders_named_like_the_usage_column(tmp_path):
    write_tree(tmp_path, split=("Training", "PublicTest", "PrivateTest"))
    for i, path in enumerate(sorted(tmp_path.rglob("*.png"))):
        path.rename(path.with_name(f"{i}.png"))
    assert load_fer2013(tmp_path, subset="all").subset.tolist() == SUBSET.tolist()


def test_table_is_preferred_to_images_and_images_to_train_csv(tree):
    (tree / "train.csv").write_text(table("train.csv"))
    assert len(load_fer2013(tree).images) == 11
    assert load_fer2013(tree).filenames[0].startswith("train/")
    (tree / "icml_face_data.csv").write_text(table("icml_face_data.csv"))
    assert load_fer2013(tree).filenames[0] == "[0]"


def test_hidden_members_are_left_out(tree, tmp_path):
    for name in ("__MACOSX/train/angry/._Training_1.png", "train/.thumbs/x.png"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_bytes(b"no image")
    path = zip_of(tree, tmp_path / "x.zip")
    for source in (tree, path):
        assert len(load_fer2013(source).images) == 11


def test_emotion_names_in_a_table(tmp_path):
    path = tmp_path / "fer2013.csv"
    path.write_text(table(code="Happiness"))
    assert load_fer2013(path).target[2] == "happy"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": " ".join(["1"] * 2303)}, r"2303 pixels; expected 2304 (48×48)"),
        ({"pixels": ""}, "0 pixels; expected 2304"),
        ({"pixels": TEXTS[0] + " 256"}, "2305 pixels"),
        ({"pixels": " ".join(["300"] * 2304)}, "a pixel is 300; expected 0..255"),
        ({"pixels": TEXTS[0] + " x7"}, "the pixels contain 'x'; expected integers"),
        ({"code": 7}, "emotion is '7'; expected a code from 0 to 6 or one of angry"),
        ({"code": "hapy"}, "Did you mean 'happy'?"),
        ({"usage": "PublicTst"}, "Usage is 'PublicTst'"),
        ({"usage": "PublicTst"}, "Did you mean 'PublicTest'?"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_bad_row_is_named(tmp_path, changes, message, zipped):
    path = tmp_path / "fer2013.csv"
    path.write_text(table(**changes))
    where = f"{path}, row 3 below the header: "
    if zipped:
        where = f"fer2013.csv in {tmp_path / 'x.zip'}, row 3 below the header: "
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.write(path, "fer2013.csv")
        path = tmp_path / "x.zip"
    with pytest.raises(DatasetFormatError) as caught:
        load_fer2013(path)
    assert str(caught.value).startswith(where)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("test.csv", "pixels\n1 2\n", "there is no column 'emotion'; found 'pixels'"),
        ("test.csv", "", "not a valid CSV file"),
        ("test.csv", "emotion,pixels\n1,2\n1,2,3\n", "not a valid CSV file"),
        ("fer2013.csv", "emotion,pixels,Usage\n", "contains no row or image of subset='train'"),
        ("fer2013.csv", table(pixels="1 2"), "Download the file again, or remove the row"),
    ],
)
def test_unusable_table(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DatasetFormatError, match=re.escape(message)):
        load_fer2013(path)


@pytest.mark.parametrize("style", ["fer2013.csv", "train.csv"])
def test_truncated_table(tmp_path, style):
    path = tmp_path / style
    path.write_text(table(style)[: table(style).index("\n") + 3])
    with pytest.raises(DatasetFormatError, match=r"row 1 below the header: (Usage is ''|0 pixels)"):
        load_fer2013(path)


@pytest.mark.parametrize("subset", ["public", "private"])
def test_no_rows_of_the_subset(tmp_path, subset):
    path = tmp_path / "train.csv"
    path.write_text(table("train.csv"))
    with pytest.raises(DatasetFormatError, match=f"no row or image of subset='{subset}'. Load an"):
        load_fer2013(path, subset=subset)


def test_unknown_subset():
    with pytest.raises(ValueError, match=r"subset='pubic' is unknown.*Did you mean 'public'\?"):
        load_fer2013("anything", subset="pubic")


def test_missing_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv' does not exist\. Check the spelling"):
        load_fer2013(tmp_path / "no.csv")


def test_neither_folder_nor_zip(tmp_path):
    path = tmp_path / "fer2013.zip"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(
        DatasetFormatError, match="neither a folder nor an intact zip or tar archive"
    ):
        load_fer2013(path)


def test_empty_folder(tmp_path):
    with pytest.raises(DatasetFormatError, match="contains neither a table nor images of FER2013"):
        load_fer2013(tmp_path)


def test_unknown_emotion_folder(tree):
    (tree / "train" / "happy").rename(tree / "train" / "hapy")
    message = "not named after an emotion of FER2013: 'train/hapy'. Expected angry, disgust"
    with pytest.raises(DatasetFormatError, match=re.escape(message)) as caught:
        load_fer2013(tree)
    assert "Did you mean 'happy'?" in str(caught.value)


def test_unmarked_test_images(tree):
    victim = min(tree.glob("test/*/*.png"))
    victim.rename(victim.with_name("17.png"))
    assert len(load_fer2013(tree).images) == 11
    with pytest.raises(DatasetFormatError, match=r"17\.png: neither its name nor its folders say"):
        load_fer2013(tree, subset="public")


def test_image_of_another_size(tree):
    victim = min(tree.glob("train/*/*.png"))
    write_image(victim, np.zeros((40, 64), np.uint8))
    message = f"{victim}: the image is 64×40 pixels; FER2013's are 48×48"
    with pytest.raises(DatasetFormatError, match=re.escape(message)):
        load_fer2013(tree)


def test_broken_image_in_a_zip_is_named(tree, tmp_path):
    victim = min(tree.glob("train/*/*.png"))
    victim.write_bytes(victim.read_bytes()[:200])
    path = zip_of(tree, tmp_path / "x.zip")
    message = f"data/train/angry/{victim.name} in {path}: the image is truncated or damaged"
    with pytest.raises(ImageReadError, match=re.escape(message)):
        load_fer2013(path)


def test_damaged_zip_member_is_named(tree, tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(tree.rglob("*.png")):
            archive.write(file, file.relative_to(tree))
        last = archive.infolist()[-1]
    data = bytearray(path.read_bytes())
    data[last.header_offset + 200] ^= 255
    path.write_bytes(data)
    message = f"{last.filename} in {path}: the archive is damaged there (Bad CRC-32"
    with pytest.raises(ImageReadError, match=re.escape(message)):
        load_fer2013(path)


def test_the_real_files(fer2013_path):
    data = load_fer2013(fer2013_path, subset="all")
    train = data.subset == "train"
    names, counts = np.unique(data.target[train], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "angry": 3995,
        "disgust": 436,
        "fear": 4097,
        "happy": 7215,
        "neutral": 4965,
        "sad": 4830,
        "surprise": 3171,
    }
    assert (data.subset == "public").sum() == 3589
    report = duplicate_report(data.images, data.target, data.subset)
    assert report.copies["train"] == 1236
    assert report.label_conflicts["train"] == 39
    assert report.shared["public", "train"] == 280


def test_damaged_tables_are_closed(tmp_path):
    (tmp_path / "fer2013.csv").write_text("emotion,pixels\n9,0 0\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(DatasetFormatError):
            load_fer2013(tmp_path / "fer2013.csv")
        gc.collect()
    assert not [warning for warning in caught if warning.category is ResourceWarning]
