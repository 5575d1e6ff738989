"""Votes of FER+: reading them, what most people saw, and targets made from them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from fer_sklearn import load_fer2013
from fer_sklearn.datasets import (
    load_ferplus,
    majority_vote,
    vote_distributions,
    votes_to_soft_targets,
)
from fer_sklearn.emotions import EMOTIONS, FERPLUS_COLUMNS
from fer_sklearn.exceptions import DatasetFormatError
from fer_sklearn.images import write_image

HEADER = "file,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,not_a_face"


def write_votes(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_votes_come_in_the_order_of_the_images(tmp_path):
    path = write_votes(
        tmp_path / "votes.csv", "a.png,10,0,0,0,0,0,0,0,0,0", "b.png,0,9,1,0,0,0,0,0,0,0"
    )
    votes = load_ferplus(path, ["b.png", "no-row.png", "a.png"])
    assert votes[:, :3].tolist() == [[0, 9, 1], [0, 0, 0], [10, 0, 0]]


def test_columns_may_be_in_any_order(tmp_path):
    header = (
        "not_a_face,file,happiness,neutral,surprise,sadness,anger,disgust,fear,contempt,unknown"
    )
    path = write_votes(tmp_path / "votes.csv", "0,a.png,7,3,0,0,0,0,0,0,0", header=header)
    (votes,) = load_ferplus(path, ["a.png"])
    assert dict(zip(FERPLUS_COLUMNS, votes.tolist(), strict=True))["happy"] == 7


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["a.png,1"], "file,neutral", "no column 'happy'"),
        (["a.png,x,0,0,0,0,0,0,0,0,0"], HEADER, "row of 'a.png'"),
        (["a.png,1"], HEADER, "row of 'a.png'"),
        (["other.png,1,0,0,0,0,0,0,0,0,0"], HEADER, "not on any of these 1, such as 'a.png'"),
    ],
)
def test_other_files_are_refused(tmp_path, rows, header, message):
    path = write_votes(tmp_path / "votes.csv", *rows, header=header)
    with pytest.raises(DatasetFormatError, match=message):
        load_ferplus(path, ["a.png"])


def votes_for(**counts):
    return [counts.get(name, 0) for name in FERPLUS_COLUMNS]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"happy": 6, "neutral": 4}, "happy"),
        ({"happy": 5, "neutral": 5}, ""),  # half is not over half
        ({"happy": 5, "neutral": 4, "sad": 1}, "happy"),  # the single vote is dropped
        ({"happy": 4, "neutral": 3, "sad": 3}, ""),
        ({"unknown": 8, "happy": 2}, ""),
        ({"not_a_face": 10}, ""),
        ({"contempt": 7, "neutral": 3}, "contempt"),
        ({}, ""),
    ],
)
def test_majority_follows_the_authors_rule(counts, expected):
    assert majority_vote([votes_for(**counts)]).tolist() == [expected]


def test_distributions_leave_out_single_votes_and_non_faces():
    votes = [
        votes_for(happy=6, neutral=3, sad=1),
        votes_for(not_a_face=6, happy=4),
        votes_for(),
    ]
    fractions = vote_distributions(votes)
    happy, neutral = (FERPLUS_COLUMNS.index(name) for name in ("happy", "neutral"))
    assert fractions.shape == (3, 8)
    assert fractions[0, [happy, neutral]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert fractions.sum(axis=1).tolist() == [1, 0, 0]


def test_votes_in_a_table_are_found_by_their_names():
    votes = np.array([[0, 7, 0, 3, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 8, 0, 0, 0, 0, 0]])
    table = pd.DataFrame(votes, columns=HEADER.split(",")[1:])[HEADER.split(",")[:0:-1]]
    assert majority_vote(table).tolist() == majority_vote(votes).tolist() == ["happy", "angry"]
    assert_array_equal(vote_distributions(table), vote_distributions(votes))
    with pytest.raises(ValueError, match=r"^votes has the columns 'not_a_face', .* expected"):
        majority_vote(table.drop(columns="anger"))
    assert majority_vote(pd.DataFrame(votes)).tolist() == ["happy", "angry"]


def test_distributions_over_some_labels_are_soft_targets_of_these():
    votes = [
        votes_for(happy=5, sad=3, contempt=2),
        votes_for(happy=3, contempt=7),  # most people see none of the labels
        votes_for(sad=4, fear=4, neutral=2),
    ]
    fractions = vote_distributions(votes, labels=EMOTIONS)
    assert fractions.shape == (3, 7)
    by_label = dict(zip(EMOTIONS, fractions.T.tolist(), strict=True))
    assert by_label["happy"] == pytest.approx([5 / 8, 0, 0])
    assert by_label["sad"] == pytest.approx([3 / 8, 0, 0.4])
    assert by_label["neutral"] == pytest.approx([0, 0, 0.2])
    with pytest.raises(ValueError, match=r"labels has 'sadd'; .* Did you mean 'sad'"):
        vote_distributions(votes, labels=["happy", "sadd"])


def test_soft_targets_learn_which_label_goes_with_which_votes():
    rng = np.random.default_rng(0)
    y = np.repeat(["angry", "happy"], 60)
    votes = np.array([votes_for(angry=8, neutral=2), votes_for(happy=9, neutral=1)])
    votes = votes[(y == "happy").astype(int)] + rng.integers(0, 2, (120, 10))
    y_proba = votes_to_soft_targets(votes, y, random_state=0)
    np.testing.assert_allclose(y_proba.sum(axis=1), 1)
    assert (np.array(["angry", "happy"])[y_proba.argmax(axis=1)] == y).all()


def test_fer2013_comes_with_its_votes(tmp_path):
    folder = tmp_path / "fer"
    (folder / "train/happy").mkdir(parents=True)
    write_image(folder / "train/happy/Training_1.png", np.zeros((48, 48), np.uint8))
    path = write_votes(tmp_path / "votes.csv", "train/happy/Training_1.png,1,9,0,0,0,0,0,0,0,0")
    assert load_fer2013(folder, votes=path).votes.tolist() == [[1, 9, *[0] * 8]]
    assert "votes" not in load_fer2013(folder)


@pytest.mark.parametrize("function", [majority_vote, vote_distributions])
def test_votes_without_the_columns_that_are_no_emotions_are_refused(function):
    votes = np.array([[2, 0, 0, 0, 0, 0, 0, 1, 7, 0]])
    with pytest.raises(ValueError, match=r"votes has shape \(1, 8\); expected \(n, 10\)"):
        function(votes[:, :8])


@pytest.mark.parametrize("wrong", [0.5, np.nan, -1])
@pytest.mark.parametrize("function", [majority_vote, vote_distributions])
def test_votes_are_counts(function, wrong):
    votes = [[2.0, *[0] * 9], [wrong, 5, *[0] * 8]]
    with pytest.raises(ValueError, match=r"votes\[1\] is .*; expected non-negative integers"):
        function(votes)


# -- the files of the authors: fer2013new.csv next to fer2013.csv ----------------------------

ORIGINAL = HEADER.replace("file", "Usage,Image name").replace("not_a_face", "NF")


def _original_files(folder, labels):
    """Write both files, with votes for happy (3) and neutral (6); other images are no faces."""
    blank = " ".join(["0"] * 2304)
    usages = ["Training", "PublicTest"] * len(labels)
    table, votes, n_named = ["emotion,pixels,Usage"], [], 0
    for label, usage in zip(labels, usages, strict=False):
        table.append(f"{label},{blank},{usage}")
        counts = {3: "0,9,1,0,0,0,0,0,0,0", 6: "8,0,0,2,0,0,0,0,0,0"}.get(label)
        votes.append(f"{usage},,0,0,0,0,0,0,0,0,0,10")
        if counts:  # FER+ numbers the named images, not the rows.
            votes[-1] = f"{usage},fer{n_named:07}.png,{counts}"
            n_named += 1
    (folder / "fer2013.csv").write_text("\n".join(table) + "\n")
    path = write_votes(folder / "fer2013new.csv", *votes, header=ORIGINAL)
    return folder / "fer2013.csv", path


def test_the_original_votes_belong_to_the_rows_of_the_original_table(tmp_path):
    table, votes = _original_files(tmp_path, [3, 0, 6, 6, 3, 3])
    data = load_fer2013(table, subset="all", votes=votes)
    assert data.filenames.tolist() == [f"[{row}]" for row in range(6)]
    assert data.votes[:, [0, 1, 9]].tolist() == [
        *([0, 9, 0], [0, 0, 10], [8, 0, 0], [8, 0, 0], [0, 9, 0], [0, 9, 0])
    ]
    public = load_fer2013(table, subset="public", votes=votes)
    assert public.filenames.tolist() == ["[1]", "[3]", "[5]"]
    assert_array_equal(public.votes, data.votes[1::2])


def test_images_that_the_script_of_the_authors_wrote_have_their_votes(tmp_path):
    _, votes = _original_files(tmp_path, [3, 0, 6])
    found = load_ferplus(votes, ["FER2013Valid/fer0000001.png", "fer0000000.png", "x/fer9.png"])
    assert found[:, :2].tolist() == [[8, 0], [0, 9], [0, 0]]
    with votes.open("a") as file:  # FER+ has one such pair of images.
        file.write("PrivateTest,fer0000001.png,0,0,0,0,0,0,0,0,0,10\n")
    assert load_ferplus(votes, ["fer0000001.png", "fer0000000.png"])[:, :2].tolist() == [
        *([0, 0], [0, 9])
    ]


def test_votes_that_contradict_the_labels_are_refused(tmp_path):
    labels = [*range(7), *[3, 6] * 40]
    table, votes = _original_files(tmp_path, labels)
    rows = table.read_text().splitlines()
    table.write_text("\n".join([rows[0], *rows[2:], rows[1]]) + "\n")  # shifted by one
    with pytest.raises(DatasetFormatError, match=r"agree with only 0% of the labels; .* order"):
        load_fer2013(table, subset="all", votes=votes)
