"""The data that commands read, and how they split it."""

import numpy as np
from running import run, write_folder

from fer_sklearn import make_faces
from fer_sklearn.cli._data import load_labelled, load_split, stratified_rows


def test_drawn_rows_keep_the_proportions():
    target = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    rows = stratified_rows(target, 20, random_state=0)
    assert np.unique(target[rows], return_counts=True)[1].tolist() == [12, 6, 2]
    assert len(np.unique(rows)) == 20


def test_sampled_rows_contain_every_label():
    target = np.array(["a"] * 997 + ["b", "c", "d"])
    assert set(target[stratified_rows(target, 4, random_state=0)]) == set("abcd")


def test_the_data_that_is_read_is_reported(photos, capsys):
    data = load_labelled(photos, subset="test", limit=14)
    assert data.images.shape == (14, 48, 48)
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        f"Read {photos} (label folders, subset test): 14 images, drawn from 35, 48×48 pixels"
    )
    assert second.count(",") == 6


def test_a_folder_of_one_label_is_refused(photos, capsys):
    path = photos / "train" / "happy"
    assert run("train", path, "--model", "hog-svm", "-o", "x.fer") == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"fer-sklearn: error: {path} cannot be used. As FER2013: {path} has images in folders"
    )
    assert f"As label folders: {path} has no images in label folders" in error


def test_a_missing_part_of_fer2013_is_reported(photos, model, capsys):
    assert run("evaluate", model, photos, "--subset", "private") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fer-sklearn: error: {photos} cannot be used. As FER2013: ")
    assert error.endswith(
        f"As label folders: {photos} has no subset 'private'; it has test, train. Choose one of "
        f"these, or 'all'.\n"
    )


def test_a_csv_file_must_be_fer2013(tmp_path, model, capsys):
    table = tmp_path / "fer2013.csv"
    table.write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    assert run("train", table, "--model", "hog-svm", "-o", tmp_path / "a.fer") == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {table}, row 1 below the header: 3 pixels; expected 2304 (48×48). "
        f"Download the file again, or remove the row.\n"
    )
    assert run("evaluate", model, table, "--subset", "test") == 1
    assert capsys.readouterr().err == (
        "fer-sklearn: error: subset='test' is not a subset of FER2013, the only data set in CSV "
        "files that can be read; expected one of train, public, private, all.\n"
    )


def test_an_unknown_part_is_reported(photos, model, capsys):
    assert run("evaluate", model, photos, "--subset", "tset") == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {photos} has no subset 'tset'; it has test, train. Choose one of "
        f"these, or 'all'. Did you mean 'test'?\n"
    )


def test_data_without_subsets_is_split_with_duplicates_together(tmp_path):
    X, y = make_faces(56, random_state=0, return_X_y=True)
    write_folder(tmp_path / "a", X, y)
    write_folder(tmp_path / "b", X, y)
    for part in ("a", "b"):
        for label in (tmp_path / part).iterdir():
            for file in label.iterdir():
                (tmp_path / "all" / label.name).mkdir(parents=True, exist_ok=True)
                file.rename(tmp_path / "all" / label.name / f"{part}{file.name}")
    train, test = load_split(tmp_path / "all")
    assert len(train.target) + len(test.target) == 112
    assert not {x.tobytes() for x in train.images} & {x.tobytes() for x in test.images}
    assert set(test.target) == set(y)


def test_real_data_is_read(fer2013_path, capsys):
    data = load_labelled(fer2013_path, subset="public", limit=50)
    assert data.images.shape == (50, 48, 48)
    assert "50 images, drawn from 3,589, 48×48 pixels" in capsys.readouterr().err
