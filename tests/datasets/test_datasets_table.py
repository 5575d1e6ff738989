"""Labelled images in tables: every kind of table and of image, and the layouts of data sets."""

import re
import sys
import zipfile
from glob import glob
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from running import write_folder

from fer_sklearn import emotions, load_dataset, load_image_folder, load_image_table, make_faces
from fer_sklearn.emotions import AFFECTNET_CODES, CK_PLUS_CODES, FER2013_CODES, RAF_DB_CODES
from fer_sklearn.exceptions import DatasetFormatError, ImageReadError, MissingExtraError
from fer_sklearn.images import write_image

FACES = make_faces(14, random_state=0)
CODES = [FER2013_CODES.index(emotion) for emotion in FACES.target]
AGES = list(range(14))
NAMES = ["angry", "disgust", "fear", "happiness", "sad", "surprise", "neutral"]


def png(image, form="PNG"):
    file = BytesIO()
    Image.fromarray(image).save(file, form)
    return file.getvalue()


BYTES = [png(image) for image in FACES.images]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fourteen images, 0.png to 13.png, and a table of them."""
    root = tmp_path_factory.mktemp("images")
    for i, image in enumerate(FACES.images):
        write_image(root / f"{i}.png", image)
    table = pd.DataFrame({"path": [f"{i}.png" for i in AGES], "label": FACES.target, "age": AGES})
    table.to_csv(root / "faces.csv", index=False)
    return root


def check(data, *, names=None):
    np.testing.assert_array_equal(data.images, FACES.images)
    np.testing.assert_array_equal(data.data, FACES.data)
    np.testing.assert_array_equal(data.target, FACES.target)
    assert data.target_names.tolist() == sorted(set(FACES.target.tolist()))
    assert data.filenames.tolist() == ([f"[{i}]" for i in AGES] if names is None else names)
    assert data.DESCR.startswith("14 labelled images")
    ages = data.table["age"]
    assert (ages.to_list() if hasattr(ages, "to_list") else list(ages)) == AGES


# -- tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_files(folder, tmp_path, separator):
    table = pd.read_csv(folder / "faces.csv")
    table.columns = ["Path", " label ", "age"]
    path = tmp_path / "faces.csv.gz"
    table.to_csv(path, sep=separator, index=False, compression="gzip")
    data = load_image_table(path, root=folder)
    check(data, names=table["Path"].tolist())
    assert data.table.columns.tolist() == ["Path", "label", "age"]
    assert data.table["age"].sum() == sum(AGES)


def test_paths_are_relative_to_the_table(folder, monkeypatch):
    check(load_image_table(folder / "faces.csv"), names=[f"{i}.png" for i in AGES])
    monkeypatch.chdir(folder)
    check(load_image_table("faces.csv"), names=[f"{i}.png" for i in AGES])
    check(load_image_table(pd.read_csv("faces.csv")), names=[f"{i}.png" for i in AGES])


def test_paths_that_were_written_on_windows(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i in AGES:
            archive.write(folder / f"{i}.png", f"faces/{i}.png")
    table = pd.read_csv(folder / "faces.csv")
    table["path"] = f".\\{folder.name}\\" + table["path"]
    check(load_image_table(table, root=folder.parent), names=table["path"].tolist())
    table["path"] = [f".\\faces\\{i}.png" for i in AGES]
    check(load_image_table(table, root=tmp_path / "images.zip"), names=table["path"].tolist())
    table["path"] = r"faces\missing.png"
    with pytest.raises(ImageReadError, match=r"faces\\missing.png: there is no such file"):
        load_image_table(table, root=folder.parent)


def test_an_archive_as_root(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i in AGES:
            archive.write(folder / f"{i}.png", f"{i}.png")
    table = pd.read_csv(folder / "faces.csv")
    check(load_image_table(table, root=tmp_path / "images.zip"), names=table["path"].tolist())
    table.loc[2, "path"] = "missing.png"
    with pytest.raises(ImageReadError, match=r"table\.iloc\[2\]: .*images.zip.*there is no such"):
        load_image_table(table, root=tmp_path / "images.zip")


@pytest.mark.parametrize("kind", ["DataFrame", "LazyFrame", "scan"])
def test_polars(folder, tmp_path, kind):
    table = pl.DataFrame({"face": BYTES, "label": FACES.target.tolist(), "age": AGES})
    if kind == "scan":
        table.write_parquet(tmp_path / "x.parquet")
        table = pl.scan_parquet(tmp_path / "x.parquet")
    elif kind == "LazyFrame":
        table = table.lazy().filter(pl.col("age") >= 0)
    data = load_image_table(table, image="face")
    check(data)
    assert isinstance(data.table, pl.DataFrame)
    assert ("face" in data.table.columns) == (not isinstance(table, pl.LazyFrame))
    paths = pl.read_csv(folder / "faces.csv").lazy()
    assert load_image_table(paths, root=folder).table.columns == ["path", "label", "age"]


def test_parquet_files_are_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("fer_sklearn.datasets._table_kinds._ROWS_AT_ONCE", 4)
    table = pd.DataFrame({"image": BYTES, "label": CODES, "age": AGES})
    table[:6].to_parquet(tmp_path / "train-00000-of-00002.parquet")
    table[6:].to_parquet(tmp_path / "train-00001-of-00002.parquet")
    options = {"image": "image", "codes": FER2013_CODES}
    check(load_image_table(tmp_path, **options))
    data = load_image_table(tmp_path / "train-*.parquet", **options)
    check(data)
    assert data.table.columns.tolist() == ["label", "age"]
    table.loc[8, "image"] = b"damaged"
    table[6:].to_parquet(tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(ImageReadError, match=r"train-00001-of-00002.parquet, row 3: "):
        load_image_table(tmp_path, **options)


@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize("form", ["nested", "flat", "array"])
def test_pixels_in_polars(form, is_lazy):
    images = FACES.data if form == "flat" else FACES.images
    pixels = pl.Series(images if form == "array" else images.tolist())
    table = pl.DataFrame({"path": pixels, "label": FACES.target.tolist(), "age": AGES})
    check(load_image_table(table.lazy() if is_lazy else table))


@pytest.mark.parametrize("kind", ["Dataset", "IterableDataset", "numpy", "parquet"])
def test_data_sets_of_hugging_face(tmp_path, kind):
    hf = pytest.importorskip("datasets")
    features = hf.Features(
        {"image": hf.Image(), "emotion": hf.ClassLabel(names=NAMES), "age": hf.Value("int64")}
    )
    rows = {"image": [{"bytes": b, "path": None} for b in BYTES], "emotion": CODES, "age": AGES}
    table = hf.Dataset.from_dict(rows, features=features)
    if kind == "numpy":
        table = table.with_format("numpy")
    elif kind == "IterableDataset":
        table = table.to_iterable_dataset()
    elif kind == "parquet":
        table.to_parquet(tmp_path / "x.parquet")
        table = tmp_path / "x.parquet"
    data = load_image_table(table, image="image", label="emotion")
    check(data)
    if kind in ("Dataset", "numpy"):
        assert data.table is table
        with pytest.raises(TypeError, match=r"parts 'train'; .* Pass table\['train'\]"):
            load_image_table(hf.DatasetDict(train=table))
        few = load_image_table(
            table, image="image", label="emotion", codes=dict.fromkeys(range(1, 7)) | {0: "mad"}
        )
        assert set(few.target) == {"angry"}
        assert isinstance(few.table, hf.Dataset)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    pd.DataFrame({"path": ["a"], "label": ["happy"]}).to_parquet(tmp_path / "x.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fer_sklearn\[parquet\]'"):
        load_image_table(tmp_path / "x.parquet")


# -- images and labels ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image,
        lambda image: np.repeat(image[..., None], 3, axis=2),
        lambda image: Image.fromarray(image),
        png,
        lambda image: {"bytes": png(image), "path": None},
        lambda image: memoryview(png(image)),
        lambda image: image.tolist(),
        lambda image: image.ravel().tolist(),
        lambda image: " ".join(map(str, image.ravel().tolist())),
        lambda image: np.array([*map(np.array, image), None], dtype=object)[:-1],
    ],
)
@pytest.mark.parametrize("grayscale", [True, False])
def test_images_in_any_form(convert, grayscale):
    column = pd.Series([convert(image) for image in FACES.images], dtype=object)
    table = pd.DataFrame({"path": column, "label": FACES.target, "age": AGES})
    data = load_image_table(table, grayscale=grayscale)
    if grayscale:
        check(data)
    else:
        np.testing.assert_array_equal(data.images, np.repeat(FACES.images[..., None], 3, axis=3))


def test_images_of_one_or_many_sizes():
    images = [FACES.images[0], FACES.images[1][:30]]
    table = pd.DataFrame({"path": images, "label": ["a", "b"]})
    data = load_image_table(table)
    assert data.images.dtype == object
    assert "data" not in data
    assert load_image_table(table, size=(20, 30)).images.shape == (2, 20, 30)
    X, y = load_image_table(table, size=32, return_X_y=True)
    assert X.shape == (2, 32, 32)
    assert y.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "codes", "expected"),
    [
        (["Happiness", " anger ", "glasses"], None, ["happy", "angry", "glasses"]),
        ([3, 1, 3], None, [3, 1, 3]),
        (["3", "1", "3"], None, [3, 1, 3]),
        ([3.0, 1.0, 3.0], FER2013_CODES, ["happy", "disgust", "happy"]),
        (["   3.0000000e+00", "7", 1], CK_PLUS_CODES, ["disgust", "surprise", "angry"]),
        (["y", "n", "y"], {"y": "happy", "n": "sad"}, ["happy", "sad", "happy"]),
        ([1, "no", 1], None, ["1", "no", "1"]),
        (["1_2", "12", 3], None, ["1_2", "12", "3"]),
        ([2**53, 2**53 + 1, str(2**53 + 1)], None, [2**53, 2**53 + 1, 2**53 + 1]),
        ([-1, 1, "1"], {-1: "sad", 1: "happy"}, ["sad", "happy", "happy"]),
        ([7, 9, 9.0], pd.Series(["sad", "happy"], index=[9, 7]), ["happy", "sad", "sad"]),
        ([1, 0, 1], pd.Series(["sad", "happy"], index=[1, 0]), ["sad", "happy", "sad"]),
        (["NA", "HA", "Happiness"], {"NA": "neutral", "HA": "happy"}, ["neutral"] + ["happy"] * 2),
    ],
)
@pytest.mark.filterwarnings("ignore:.* are not emotions")
def test_labels(labels, codes, expected):
    table = pd.DataFrame({"path": list(FACES.images[:3]), "label": pd.Series(labels, dtype=object)})
    data = load_image_table(table, codes=codes)
    assert data.target.tolist() == expected
    assert data.target_names.tolist() == sorted(set(expected))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_codes_without_a_name_are_left_out(missing):
    table = pd.DataFrame({"path": list(FACES.images[:3]), "label": [0, 1, 2]})
    for codes in (["sad", missing, "happy"], pd.Series(["sad", missing, "happy"])):
        assert load_image_table(table, codes=codes).target.tolist() == ["sad", "happy"]


def test_columns_that_differ_only_by_case(folder, tmp_path):
    path = tmp_path / "case.csv"
    pd.read_csv(folder / "faces.csv").assign(Label=CODES).to_csv(path, index=False)
    assert load_image_table(path, root=folder).target.tolist() == FACES.target.tolist()
    assert load_image_table(path, root=folder, label="Label").target.tolist() == CODES


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, ""])
def test_missing_subsets_are_empty(missing):
    table = pd.DataFrame({"path": list(FACES.images[:3]), "label": FACES.target[:3]})
    table["split"] = pd.Series(["train", missing, "test"], dtype=object)
    assert load_image_table(table, subset="split").subset.tolist() == ["train", "", "test"]


@pytest.mark.filterwarnings("ignore:Left out 1 of 3 image")
def test_damaged_images_in_what_looks_like_fer2013(tmp_path):
    for i, label in enumerate(["happy", "happy", "sad"]):
        (tmp_path / "train" / label).mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "train" / label / f"{i}.png", FACES.images[i])
    (tmp_path / "train/happy/0.png").write_bytes(b"damaged")
    with pytest.raises(ImageReadError, match=r"0\.png"):
        load_dataset(tmp_path, subset="train")
    data = load_dataset(tmp_path, subset="train", on_error="warn")
    assert (data.part, data.target.tolist()) == ("train", ["happy", "sad"])


def test_subsets():
    table = pd.DataFrame({"path": list(FACES.images), "label": FACES.target})
    assert set(load_image_table(table).subset) == {"all"}
    table["split"] = ["train"] * 10 + ["test"] * 4
    assert load_image_table(table, subset="split").subset.tolist() == table["split"].tolist()


def test_large_tables_are_mapped_from_a_file(monkeypatch):
    monkeypatch.setenv("FER_SKLEARN_MAX_MEMORY", "10k")
    table = pd.DataFrame({"path": list(FACES.images), "label": FACES.target, "age": AGES})
    data = load_image_table(table)
    check(data)
    assert isinstance(data.images, np.memmap)
    assert Path(data.images.filename).exists()
    table["path"] = [image[: 10 + i] for i, image in enumerate(FACES.images)]
    with pytest.raises(ValueError, match=r"different sizes.*Pass size="):
        load_image_table(table)


def test_a_table_of_images_is_a_data_set(folder, tmp_path):
    data = load_dataset(folder / "faces.csv", subset=["train", "training"])
    check(data, names=[f"{i}.png" for i in AGES])
    assert (data.layout, data.part) == ("table of images", "all")
    pd.DataFrame({"path": BYTES, "label": FACES.target, "age": AGES}).to_parquet(
        tmp_path / "faces.parquet"
    )
    check(load_dataset(tmp_path / "faces.parquet"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_images_with_subsets(folder, tmp_path, suffix):
    table = pd.read_csv(folder / "faces.csv")
    table["path"] = [str(folder / name) for name in table["path"]]
    table["Split"] = ["train"] * 9 + ["Test"] * 5
    path = tmp_path / f"split{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    assert load_dataset(path).subset.tolist() == table["Split"].tolist()
    data = load_dataset(path, subset=["public", "test"])
    assert data.part == "Test"
    np.testing.assert_array_equal(data.images, FACES.images[9:])
    assert data.table["age"].tolist() == AGES[9:]
    with pytest.raises(DatasetFormatError, match="no subset 'dev'; it has Test, train"):
        load_dataset(path, subset="dev")


# -- errors ---------------------------------------------------------------------------------


def test_an_unreadable_image_is_named_and_can_be_left_out(folder):
    table = pd.read_csv(folder / "faces.csv")
    table.loc[3, "path"] = "missing.png"
    with pytest.raises(ImageReadError, match=r"table\.iloc\[3\]: .*missing\.png: there is no such"):
        load_image_table(table, root=folder)
    with pytest.warns(UserWarning, match=r"Left out 1 of 14 image\(s\)") as caught:
        data = load_image_table(table, root=folder, on_error="warn")
    assert caught[0].filename == __file__
    kept = [i for i in AGES if i != 3]
    np.testing.assert_array_equal(data.images, FACES.images[kept])
    assert data.table["age"].tolist() == kept
    table["path"] = "missing.png"
    with pytest.raises(ImageReadError, match="None of 14 image"):
        load_image_table(table, root=folder, on_error="warn")


@pytest.mark.parametrize(
    "bad", [None, float("nan"), "", "https://x.org/a.png", b"", 3, [[1, 2], [3]]]
)
def test_items_that_are_not_images(bad):
    table = pd.DataFrame({"path": pd.Series([FACES.images[0], bad]), "label": ["a", "b"]})
    with pytest.raises(ImageReadError, match=r"table\.iloc\[1\]: "):
        load_image_table(table)


def test_labels_that_are_not_emotions_are_named_where_most_are():
    labels = ["mask", *FACES.target[1:].tolist()]
    table = pd.DataFrame({"path": list(FACES.images), "label": labels})
    with pytest.warns(
        UserWarning, match=r"label\(s\) 'mask' \(1 image\(s\)\) are not emotions"
    ) as caught:
        assert "mask" in load_image_table(table).target
    assert [caught[0].filename, len(caught)] == [__file__, 1]


@pytest.mark.parametrize("columns", [[0, 1], [("image", "path"), ("image", "label")]])
def test_columns_without_names(folder, columns):
    paths = [str(folder / f"{i}.png") for i in AGES]
    table = pd.DataFrame({0: paths, 1: FACES.target}).set_axis(columns, axis=1)
    data = load_image_table(table, image=columns[0], label=columns[1])
    np.testing.assert_array_equal(data.target, FACES.target)
    assert load_image_table(table, image=str(columns[0]), label=str(columns[1])).images.any()


@pytest.mark.parametrize("bad", [None, float("nan"), "", pd.NA, pd.NaT, "NA", "NULL"])
def test_a_label_is_missing(bad):
    table = pd.DataFrame({"path": list(FACES.images[:2]), "label": pd.Series(["a", bad])})
    with pytest.raises(DatasetFormatError, match=r"table\.iloc\[1\]: the label is missing"):
        load_image_table(table)
    with pytest.warns(UserWarning, match="Left out 1 of 2"):
        assert load_image_table(table, on_error="warn").target.tolist() == ["a"]


def test_errors_name_the_table_and_the_remedy(folder, tmp_path):
    with pytest.raises(DatasetFormatError, match=r"no column 'pat'.*'path', 'label'.*Did you mean"):
        load_image_table(folder / "faces.csv", image="pat")
    table = pd.DataFrame({"path": list(FACES.images[:2]), "label": [0, 9]})
    with pytest.raises(DatasetFormatError, match=r"table\.iloc\[1\]: the label 9 is not among"):
        load_image_table(table, codes=FER2013_CODES)
    with pytest.raises(DatasetFormatError, match=r"label 'c' is not among the codes 'a', 'b'"):
        load_image_table(table.assign(label=["a", "c"]), codes={"a": "awake", "b": "tired"})
    with pytest.raises(DatasetFormatError, match="no rows to load"):
        load_image_table(table, codes=[None] * 10)
    with pytest.raises(ValueError, match="codes='abc' must be"):
        load_image_table(table, codes="abc")
    with pytest.raises(TypeError, match="table is a dict"):
        load_image_table({"path": [1]})
    arrow = pytest.importorskip("pyarrow").table({"path": ["a.png"], "label": ["happy"]})
    with pytest.raises(TypeError, match=r"table is a Table.*table\.to_pandas\(\)"):
        load_image_table(arrow)
    (tmp_path / "latin.csv").write_bytes("path,label\né.png,happy\n".encode("latin-1"))
    with pytest.raises(DatasetFormatError, match=r"latin\.csv: .*Save it in UTF-8"):
        load_image_table(tmp_path / "latin.csv")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_image_table(tmp_path / "missing.csv")
    with pytest.raises(FileNotFoundError, match="no file matches"):
        load_image_table(tmp_path / "*.parquet")
    with pytest.raises(DatasetFormatError, match="folder without Parquet"):
        load_image_table(folder)
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetFormatError, match="not an intact Parquet file"):
        load_image_table(tmp_path / "damaged.parquet")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.csv", "path,label")
    with pytest.raises(DatasetFormatError, match="is an archive"):
        load_image_table(tmp_path / "x.zip")


# -- the layouts of published data sets, each read by the lines of the guide ------------------

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "data.md"


def load_as_in_the_guide(name):
    """Run the lines of the guide for one data set in the current folder."""
    text = GUIDE.read_text(encoding="utf-8").partition("## Published data sets")[2]
    code = re.search(
        rf"^{re.escape(name)}(?!\w).*?```py\n(.*?)```", text, re.MULTILINE | re.DOTALL
    )[1]
    names = {"pd": pd, "glob": glob, "load_image_table": load_image_table, **vars(emotions)}
    exec(compile(code, str(GUIDE), "exec"), names)
    return names["data"]


@pytest.fixture
def current(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_layout_of_fer2013_in_parquet(current):
    hf = pytest.importorskip("datasets")
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=NAMES)})
    rows = {"image": [{"bytes": b, "path": "x.png"} for b in BYTES], "label": CODES}
    Path("data").mkdir()
    table = hf.Dataset.from_dict(rows, features=features)
    table.select(range(9)).to_parquet("data/train-00000-of-00002.parquet")
    table.select(range(9, 14)).to_parquet("data/train-00001-of-00002.parquet")
    data = load_as_in_the_guide("FER2013 in Parquet")
    np.testing.assert_array_equal(data.images, FACES.images)
    assert data.target.tolist() == FACES.target.tolist()


def test_layout_of_raf_db(current):
    Path("Image/aligned").mkdir(parents=True)
    Path("EmoLabel").mkdir()
    numbers = {name: code for code, name in RAF_DB_CODES.items()}
    lines = []
    for i, (image, label) in enumerate(zip(FACES.images, FACES.target, strict=True)):
        name = f"{'train' if i < 10 else 'test'}_{i:05}"
        write_image(f"Image/aligned/{name}_aligned.jpg", np.repeat(image[..., None], 3, axis=2))
        lines.append(f"{name}.jpg {numbers[label]}\n")
    Path("EmoLabel/list_patition_label.txt").write_text("".join(lines))
    data = load_as_in_the_guide("RAF-DB")
    assert data.images.shape == (14, 48, 48, 3)
    assert data.target.tolist() == FACES.target.tolist()


def test_layout_of_affectnet(current):
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
    lines = [header + "expression,valence,arousal\n"]
    for i, (image, label) in enumerate(zip(FACES.images, FACES.target, strict=True)):
        path = f"{i % 3}/{i}.JPG"
        Path("Manually_Annotated_Images", path).parent.mkdir(parents=True, exist_ok=True)
        Path("Manually_Annotated_Images", path).write_bytes(png(image, "JPEG"))
        code = 8 + i if i < 3 else AFFECTNET_CODES.index(label)
        lines.append(f"{path},1,1,46,46,10.5;20.5;30.0;20.5,{code},0.1,-0.2\n")
    Path("training.csv").write_text("".join(lines))
    data = load_as_in_the_guide("AffectNet")
    assert data.images.shape == (11, 96, 96)
    assert data.target.tolist() == FACES.target[3:].tolist()
    assert data.table["valence"].tolist() == [0.1] * 11


def test_layout_of_ck_plus(current):
    for i, (image, label) in enumerate(zip(FACES.images, FACES.target, strict=True)):
        sequence = f"S{i:03}/001"
        for tree in ("cohn-kanade-images", "Emotion"):
            Path(tree, sequence).mkdir(parents=True)
        for frame in (1, 2):
            name = f"{sequence}/S{i:03}_001_{frame:08}"
            write_image(f"cohn-kanade-images/{name}.png", image if frame == 2 else 0 * image)
        Path(f"Emotion/{name}_emotion.txt").write_text(f"   {CK_PLUS_CODES.index(label):.7e}\n")
    Path("Emotion/S099/001").mkdir(parents=True)  # a sequence without a label
    data = load_as_in_the_guide("CK+")
    np.testing.assert_array_equal(data.images, FACES.images)
    assert data.target.tolist() == FACES.target.tolist()
    write_folder(Path("CK+48"), FACES.images, FACES.target)
    assert set(load_image_folder("CK+48").target) == set(FACES.target)


def test_layout_of_jaffe(current):
    Path("jaffe").mkdir()
    for i, (image, label) in enumerate(zip(FACES.images, FACES.target, strict=True)):
        write_image(f"jaffe/KA.{label[:2].upper()}{i % 3 + 1}.{i + 30}.tiff", image)
    data = load_as_in_the_guide("JAFFE")
    number = [int(name.split(".")[2]) - 30 for name in data.filenames]
    np.testing.assert_array_equal(data.images, FACES.images[number])
    assert data.target.tolist() == FACES.target[number].tolist()
