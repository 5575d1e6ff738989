"""Rows of faces, JSON and tables."""

import json
from math import inf, nan

import numpy as np
import pytest

from fer_sklearn._utils.tables import (
    VIDEO_COLUMNS,
    rounded,
    row_columns,
    text_table,
    to_json_value,
)


def test_rows_of_photos_and_videos_share_the_columns_of_faces():
    photo, video = row_columns(["happy", "sad"]), row_columns(["happy", "sad"], video=True)
    face = [*list(VIDEO_COLUMNS)[2:], "happy", "sad"]
    assert list(video) == ["frame", "seconds", *face]
    assert list(photo) == ["source", *face, "status"]
    assert {name: photo[name] for name in face} == {name: video[name] for name in face}


@pytest.mark.parametrize(
    ("name", "video"),
    [
        *(("status", False), ("provenance", False)),
        *(("seconds", True), ("face", True), ("first", True), ("mean_happy", True)),
    ],
)
def test_a_class_named_like_a_column_is_refused(name, video):
    with pytest.raises(ValueError, match=f"class\\(es\\) '{name}', which are names of other col"):
        row_columns(["happy", name], video=video)
    row_columns(["happy", "seconds"])


def test_rows_keep_the_significant_digits():
    row = {"seconds": 1.23456, "left": 1.23456, "score": np.float32(0.123456), "happy": 0.12345678}
    assert rounded(row) == {"seconds": 1.235, "left": 1.23, "score": 0.1235, "happy": 0.123457}
    assert rounded({"source": "a", "face": 0, "score": nan, "emotion": None}) == {
        "source": "a",
        "face": 0,
        "score": None,
        "emotion": None,
    }


@pytest.mark.parametrize(
    ("first", "name"),
    [("source", "frame"), ("source", "seconds"), ("frame", "status"), ("source", "source")],
)
def test_a_label_named_like_a_column_of_the_other_rows_keeps_its_digits(first, name):
    assert rounded({first: "a", name: 0.12345678})[name] == 0.123457


def test_values_become_strict_json():
    value = {
        "a": [nan, inf, -inf, 1.5, np.float64("nan"), np.float32(0.5)],
        "b": np.array([[1, 2], [3, 4]]),
        "c": (np.int64(7), np.bool_(True), None, "text"),
    }
    assert json.loads(json.dumps(to_json_value(value), allow_nan=False)) == {
        "a": [None, None, None, 1.5, None, 0.5],
        "b": [[1, 2], [3, 4]],
        "c": [7, True, None, "text"],
    }


def test_a_table_aligns_names_left_and_numbers_right():
    rows = [["happy", "1"], ["sad", "100"]]
    assert text_table("Counts", ["emotion", "n"], rows) == (
        "Counts\nemotion    n\nhappy      1\nsad      100"
    )
    assert text_table("", ["emotion", "n"], rows, ruled=True, numeric=[False, False]) == (
        "emotion  n\n-------  ---\nhappy    1\nsad      100"
    )


def test_a_table_cuts_long_paths_on_a_narrow_terminal():
    rows = [["folder/with/a/long/name/photo.jpg", "1"], ["b.jpg", "2"]]
    lines = text_table("", ["path", "n"], rows, max_width=23).splitlines()
    assert max(map(len, lines)) == 23
    assert lines[1] == "…long/name/photo.jpg  1"
    assert "folder/with" in text_table("", ["path", "n"], rows, max_width=10)
