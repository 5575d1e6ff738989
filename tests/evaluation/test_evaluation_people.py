"""Evaluation against people's votes: the majority, and human accuracy."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from fer_sklearn import EMOTIONS, evaluate, evaluate_predictions
from fer_sklearn.emotions import FERPLUS_COLUMNS


def votes_for(**counts):
    return [counts.get(name, 0) for name in FERPLUS_COLUMNS]


VOTES = [
    votes_for(happy=9, neutral=1),
    votes_for(sad=6, neutral=4),
    votes_for(contempt=8, neutral=2),
    votes_for(happy=5, neutral=5),  # no majority
    votes_for(),  # no votes
]
TRUE = ["happy", "neutral", "neutral", "happy", "sad"]
PREDICTED = ["happy", "sad", "neutral", "neutral", "sad"]


def test_predictions_and_labels_are_compared_with_the_majority():
    people = evaluate_predictions(TRUE, PREDICTED, votes=VOTES, labels=EMOTIONS).people
    assert people.accuracy.value == pytest.approx(2 / 3)
    assert people.label_accuracy.value == pytest.approx(1 / 3)
    assert people.majority.value == pytest.approx(3 / 4)
    assert (people.n_images, people.n_without_majority, people.n_without_votes) == (3, 1, 1)
    assert people.missing_labels == {"contempt": 1}


def test_a_model_of_eight_emotions_can_predict_contempt():
    labels = sorted([*EMOTIONS, "contempt"])
    predicted = ["happy", "sad", "contempt", "neutral", "sad"]
    people = evaluate_predictions(TRUE, predicted, votes=VOTES, labels=labels).people
    assert people.accuracy.value == 1
    assert people.missing_labels == {}


@pytest.mark.parametrize(
    "names",
    [
        ("Happy", "Sad", "Neutral", "Contempt"),
        ("happiness", "sadness", "neutrality", "contempt"),
    ],
)
def test_usual_spellings_of_the_emotions_are_understood(names):
    spelt = dict(zip(("happy", "sad", "neutral", "contempt"), names, strict=True))
    true, predicted = ([spelt[label] for label in labels] for labels in (TRUE, PREDICTED))
    people = evaluate_predictions(true, predicted, votes=VOTES, labels=sorted(names)).people
    assert people.accuracy.value == pytest.approx(2 / 3)
    assert people.missing_labels == {}


def test_an_abstention_is_an_error():
    labels = [*EMOTIONS, "uncertain"]
    predicted = ["uncertain", "sad", "neutral", "neutral", "sad"]
    people = evaluate_predictions(TRUE, predicted, votes=VOTES, labels=labels).people
    assert people.accuracy.value == pytest.approx(1 / 3)


def test_one_person_is_drawn_and_compared_with_the_others():
    votes = np.random.default_rng(0).multinomial(10, [0.4, 0.3, 0.2, 0.1] + [0] * 6, size=40)
    expected = []
    for counts in votes:
        voters = np.repeat(np.arange(10), counts)
        scores = []
        for i, vote in enumerate(voters):
            others = np.bincount(np.delete(voters, i), minlength=10)
            most = np.flatnonzero(others == others.max())
            scores.append((vote in most) / len(most))
        expected.append(np.mean(scores))
    y = ["happy"] * 40
    people = evaluate_predictions(y, y, votes=votes, labels=EMOTIONS).people
    assert people.human_accuracy_all.value == pytest.approx(np.mean(expected))


def test_intervals_are_those_of_proportions():
    people = evaluate_predictions(["happy"], ["happy"], votes=VOTES[:1], labels=EMOTIONS).people
    assert people.accuracy == pytest.approx((1, 0.025, 1))  # of 1 in 1
    wide = evaluate_predictions(TRUE, PREDICTED, votes=VOTES, labels=EMOTIONS, confidence_level=0.5)
    assert 0.3 < wide.people.accuracy.low < 2 / 3 < wide.people.accuracy.high < 0.95


def test_images_without_any_majority_have_no_accuracy():
    people = evaluate_predictions(["happy"], ["happy"], votes=[votes_for()], labels=EMOTIONS).people
    assert np.isnan(people.accuracy).all()
    assert np.isnan(people.human_accuracy_all).all()


def test_evaluate_takes_votes():
    model = DummyClassifier().fit([[0]] * 8, [*EMOTIONS, "happy"])
    report = evaluate(model, [[0]] * 5, TRUE, votes=VOTES)
    assert report.people.accuracy.value == pytest.approx(1 / 3)
    assert evaluate(model, [[0]] * 5, TRUE).people is None


def test_every_form_of_the_report_has_the_votes():
    report = evaluate_predictions(TRUE, PREDICTED, votes=VOTES, labels=EMOTIONS)
    people = json.loads(report.to_json())["people"]
    assert people["accuracy"]["value"] == pytest.approx(2 / 3)
    assert people["missing_labels"] == {"contempt": 1}
    frame = report.to_frame().set_index("metric")
    assert frame.loc["people_accuracy", "low"] == people["accuracy"]["low"]
    assert "people_majority" in frame.index
    for text in (repr(report), report.to_markdown(), report._repr_html_()):
        assert "3 images have a majority; 1 without one and 1 without votes are left out" in text
        assert "count as errors: 1 contempt" in text
        assert "one person with the others" in text
        assert "0.667" in text
    plain = evaluate_predictions(TRUE, PREDICTED)
    assert json.loads(plain.to_json())["people"] is None
    assert "votes" not in repr(plain)


def test_columns_of_a_table_are_found_by_name():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(VOTES, columns=FERPLUS_COLUMNS)
    spelt = table.rename(columns={"happy": "Happiness"})[[*table.columns[:1], "Happiness"][::-1]]
    whole = spelt.join(table.drop(columns=["happy", "neutral"]))
    people = evaluate_predictions(TRUE, PREDICTED, votes=whole, labels=EMOTIONS).people
    assert people.accuracy.value == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"^votes has the columns .*expected neutral, happy"):
        evaluate_predictions(TRUE, PREDICTED, votes=whole.iloc[:, 1:], labels=EMOTIONS)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        (VOTES[:4], r"votes has shape \(4, 10\); expected \(5, 10\)"),
        (np.zeros((5, 8)), r"votes has shape \(5, 8\); expected \(5, 10\)"),
        (np.full((5, 10), 0.5), r"votes\[0\] is \[0.5.*non-negative integers.* 5 of 5 row"),
        (np.full((5, 10), -1), r"votes\[0\] is \[-1"),
        (np.full((5, 10), np.nan), r"votes\[0\] is \[nan"),
        (np.full((5, 10), "x"), r"votes has dtype <U1; expected integers"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_other_votes_are_refused(votes, message):
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(TRUE, PREDICTED, votes=votes, labels=EMOTIONS)


@pytest.mark.parametrize("labels", [("glad", "other"), (3, 4)])
def test_labels_have_to_be_emotions(labels):
    y = [labels[0], labels[1], labels[0], labels[0], labels[1]]
    with pytest.raises(ValueError, match=r"votes are for the emotions .*, none of which"):
        evaluate_predictions(y, y, votes=VOTES)


def test_publictest_has_the_published_human_mark(fer2013_path):
    path = Path(fer2013_path).with_name("ferplus.csv")
    if not path.exists():
        pytest.skip("needs ferplus.csv next to FER2013")
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "PublicTest_" in row["file"]]
    columns = [name for name in rows[0] if name != "file"]
    votes = [[int(row[name]) for name in columns] for row in rows]
    y = ["happy"] * len(votes)
    people = evaluate_predictions(y, y, votes=votes, labels=EMOTIONS).people
    assert people.n_images == 3199
    assert people.missing_labels == {"contempt": 13}
    assert round(100 * people.human_accuracy.value, 1) == 79.9
    assert round(100 * people.human_accuracy_all.value, 1) == 73.2
