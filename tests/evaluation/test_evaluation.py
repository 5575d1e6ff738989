"""Evaluation: metrics compared with scikit-learn, intervals with a plain bootstrap."""

import json
import time
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)
from sklearn.model_selection import cross_validate

from fer_sklearn import EMOTIONS
from fer_sklearn.evaluation import SCORING, evaluate, evaluate_predictions
from fer_sklearn.evaluation._intervals import class_intervals, confusion_intervals


def _predictions(n=400, seed=0, labels=EMOTIONS):
    """Return imbalanced true labels, and predictions of which two in three are correct."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, len(labels) + 1)
    y_true = rng.choice(labels, n, p=weights / weights.sum())
    y_pred = np.where(rng.random(n) < 2 / 3, y_true, rng.choice(labels, n))
    return y_true, y_pred


@pytest.fixture
def fitted():
    y = list(EMOTIONS) + ["happy"] * 3
    return DummyClassifier().fit([[0]] * len(y), y)


def test_overall_metrics_match_scikit_learn():
    y_true, y_pred = _predictions()
    report = evaluate_predictions(y_true, y_pred)
    expected = {
        "accuracy": accuracy_score(y_true, y_pred),
        "balanced_accuracy": balanced_accuracy_score(y_true, y_pred),
        "macro_f1": f1_score(y_true, y_pred, average="macro"),
        "weighted_f1": f1_score(y_true, y_pred, average="weighted"),
        "cohen_kappa": cohen_kappa_score(y_true, y_pred),
    }
    assert {name: report.overall[name].value for name in expected} == pytest.approx(expected)


def test_kappa_of_a_single_label_is_nan():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate_predictions(["sad", "sad"], ["sad", "sad"], labels=EMOTIONS)
    assert np.isnan(report.overall["cohen_kappa"]).all()
    assert report.overall["accuracy"].value == 1


def test_kappa_of_random_guesses_is_0():
    y_true, y_pred = ["sad", "sad", "happy", "happy"], ["sad", "happy", "sad", "happy"]
    assert evaluate_predictions(y_true, y_pred).overall["cohen_kappa"].value == 0


def test_metrics_per_emotion_match_scikit_learn():
    y_true, y_pred = _predictions()
    report = evaluate_predictions(y_true, y_pred)
    precision, recall, f1, support = precision_recall_fscore_support(y_true, y_pred)
    for i, label in enumerate(EMOTIONS):
        found = report.per_emotion[label]
        assert found["precision"].value == pytest.approx(precision[i])
        assert found["recall"].value == pytest.approx(recall[i])
        assert found["f1"].value == pytest.approx(f1[i])
    np.testing.assert_array_equal(report.support, support)
    np.testing.assert_array_equal(report.confusion_matrix, confusion_matrix(y_true, y_pred))


def test_overall_metrics_without_support_match_scikit_learn():
    y_true = np.array(["happy", "happy", "sad", "sad"])
    y_pred = np.array(["happy", "fear", "sad", "happy"])
    report = evaluate_predictions(y_true, y_pred, labels=EMOTIONS)
    assert report.overall["macro_f1"].value == pytest.approx(
        f1_score(y_true, y_pred, average="macro")
    )
    assert report.overall["balanced_accuracy"].value == pytest.approx(0.5)


def test_undefined_numbers_are_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate_predictions(
            ["happy", "happy", "sad"], ["happy", "fear", "happy"], labels=EMOTIONS
        )
    assert np.isnan(report.per_emotion["fear"]["recall"]).all()
    assert report.per_emotion["fear"]["precision"].value == 0
    assert np.isnan(report.per_emotion["sad"]["precision"]).all()
    assert report.per_emotion["sad"]["recall"].value == 0
    assert np.isnan(report.per_emotion["angry"]["f1"]).all()


@pytest.mark.slow
def test_intervals_match_a_plain_bootstrap():
    y_true, y_pred = _predictions(300)
    report = evaluate_predictions(y_true, y_pred, n_resamples=4000)
    rng = np.random.default_rng(1)
    scores = []
    for _ in range(1500):
        rows = rng.integers(0, 300, 300)
        scores.append(f1_score(y_true[rows], y_pred[rows], average="macro"))
    estimate = report.overall["macro_f1"]
    np.testing.assert_allclose(
        [estimate.low, estimate.high], np.quantile(scores, [0.025, 0.975]), atol=0.01
    )


def test_interval_of_accuracy_is_the_binomial_one():
    y_true = ["happy"] * 3589
    y_pred = ["happy"] * 2620 + ["sad"] * 969
    estimate = evaluate_predictions(y_true, y_pred).overall["accuracy"]
    expected = binomtest(2620, 3589).proportion_ci(0.95, method="exact")
    assert estimate[1:] == pytest.approx((expected.low, expected.high))


def test_intervals_of_recall_precision_and_f1_are_exact():
    y_true, y_pred = _predictions()
    report = evaluate_predictions(y_true, y_pred)
    for label in EMOTIONS:
        n_hits = int(((y_true == label) & (y_pred == label)).sum())
        either = int(((y_true == label) | (y_pred == label)).sum())
        found = report.per_emotion[label]
        for metric, n in (
            ("recall", (y_true == label).sum()),
            ("precision", (y_pred == label).sum()),
        ):
            expected = binomtest(n_hits, int(n)).proportion_ci(0.95, method="exact")
            assert found[metric][1:] == pytest.approx((expected.low, expected.high))
        both = binomtest(n_hits, either).proportion_ci(0.95, method="exact")
        expected = [2 * end / (1 + end) for end in (both.low, both.high)]
        assert found["f1"][1:] == pytest.approx(expected)


def test_intervals_do_not_shrink_to_a_point_if_all_is_correct():
    y = np.array(["happy", "sad"] * 10)
    report = evaluate_predictions(y, y)
    assert report.overall["accuracy"] == pytest.approx((1, 0.832, 1), abs=1e-3)
    for name, (value, low, high) in report.overall.items():
        if name in ("balanced_accuracy", "macro_f1", "weighted_f1", "cohen_kappa"):
            assert value == high == 1
            assert 0.6 < low < 0.9
    assert report.per_emotion["sad"]["recall"].low == pytest.approx(0.692, abs=1e-3)
    assert report.confusion_interval[1][0, 1] == pytest.approx(20 * 0.168, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 300, 3589])
@pytest.mark.parametrize("accuracy", [0.65, 0.98])
def test_intervals_contain_the_true_value(accuracy, n):
    rng = np.random.default_rng(0)
    rates = np.full((7, 7), (1 - accuracy) / 6)
    np.fill_diagonal(rates, accuracy)
    samples = rng.multinomial(n, rates.ravel() / 7, size=2000).reshape(-1, 7, 7)
    within = {}
    for sample in samples:
        occurs = sample.sum(axis=1) > 0
        ends = confusion_intervals(sample, 0.95)
        ends |= {f"{name} of a label": e[:, 0] for name, e in class_intervals(sample, 0.95).items()}
        for name, (low, high) in ends.items():
            # All labels are alike, so that the other metrics are equal to the accuracy.
            true = (accuracy - 1 / 7) / (6 / 7) if name == "cohen_kappa" else accuracy
            if occurs[0] or "label" not in name:
                within.setdefault(name, []).append(low <= true <= high)
    assert len(within) == 8
    covered = {name: np.mean(each) for name, each in within.items()}
    assert min(covered.values()) >= 0.93, covered


def test_intervals_are_defined_for_labels_without_images():
    report = evaluate_predictions(["happy"], ["happy"], labels=EMOTIONS)
    assert report.overall["balanced_accuracy"] == pytest.approx((1, 0.025, 1))
    assert report.overall["macro_f1"].low < 0.1
    assert np.isnan(report.overall["cohen_kappa"]).all()


def test_interval_of_a_count_in_the_confusion_matrix():
    y_true, y_pred = _predictions()
    report = evaluate_predictions(y_true, y_pred)
    low, high = report.confusion_interval
    count = int(report.confusion_matrix[-1, -1])
    expected = binomtest(count, 400).proportion_ci(0.95, method="exact")
    assert (low[-1, -1], high[-1, -1]) == pytest.approx((400 * expected.low, 400 * expected.high))
    assert (low <= report.confusion_matrix).all()
    assert (report.confusion_matrix < high).all()


def test_a_wider_level_gives_a_wider_interval():
    y_true, y_pred = _predictions()
    narrow = evaluate_predictions(y_true, y_pred, confidence_level=0.5).overall["accuracy"]
    wide = evaluate_predictions(y_true, y_pred, confidence_level=0.99).overall["accuracy"]
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_same_seed_same_report_other_seed_other_intervals():
    y_true, y_pred = _predictions(labels=("a", "b"))
    proba = np.random.default_rng(0).dirichlet([1, 1], len(y_true))
    first, again, other = (
        evaluate_predictions(y_true, y_pred, y_proba=proba, random_state=seed).to_dict()
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_evaluating_publictest_takes_under_a_second():
    y_true, y_pred = _predictions(3589)
    start = time.perf_counter()
    evaluate_predictions(y_true, y_pred, n_resamples=1000)
    assert time.perf_counter() - start < 1


def test_evaluate_reports_every_class_of_the_estimator(fitted):
    report = evaluate(fitted, [[0]] * 3, ["happy", "sad", "happy"])
    assert report.labels.tolist() == list(EMOTIONS)
    assert report.overall["accuracy"].value == pytest.approx(2 / 3)
    assert report.n_samples == 3


def test_labels_set_the_order():
    labels = ["surprise", *EMOTIONS[:-1]]
    y_true, y_pred = _predictions()
    report = evaluate_predictions(y_true, y_pred, labels=labels)
    assert list(report.per_emotion) == labels
    np.testing.assert_array_equal(
        report.confusion_matrix, confusion_matrix(y_true, y_pred, labels=labels)
    )


def test_number_labels_work():
    y_true, y_pred = _predictions(labels=(0, 1, 2))
    report = evaluate_predictions(y_true, y_pred)
    assert list(report.per_emotion) == [0, 1, 2]
    assert report.overall["accuracy"].value == pytest.approx(accuracy_score(y_true, y_pred))


def test_frame_is_tidy():
    y_true, y_pred = _predictions()
    report = evaluate_predictions(y_true, y_pred)
    frame = report.to_frame()
    assert list(frame.columns) == ["metric", "emotion", "value", "low", "high"]
    assert len(frame) == 8 + 4 * 7
    row = frame[(frame.metric == "recall") & (frame.emotion == "sad")].iloc[0]
    assert tuple(row[["value", "low", "high"]]) == report.per_emotion["sad"]["recall"]
    assert frame[frame.metric == "support"].value.sum() == 400


def test_json_is_strict_and_says_null_for_nan():
    report = evaluate_predictions(["happy", "sad"], ["happy", "sad"], labels=EMOTIONS)

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads(report.to_json(), parse_constant=refuse)
    assert read["per_emotion"]["fear"]["recall"] == {"value": None, "low": None, "high": None}
    assert read["overall"]["accuracy"]["value"] == 1.0
    assert read["per_emotion"]["happy"]["support"] == 1
    assert np.sum(read["confusion_matrix"]) == 2


def test_repr_is_an_aligned_table():
    y_true, y_pred = _predictions()
    _, overall, per_emotion, confusion = repr(evaluate_predictions(y_true, y_pred)).split("\n\n")
    for table, n_rows in ((overall, 5), (per_emotion, 7), (confusion, 7)):
        _caption, *lines = table.splitlines()
        assert len(lines) == 1 + n_rows
        assert len({len(line) for line in lines}) == 1
        assert len(lines[0]) <= 88


def test_markdown_rows_have_the_columns_of_their_header():
    y_true, y_pred = _predictions(labels=("a|b", "c"))
    tables = evaluate_predictions(y_true, y_pred).to_markdown()
    blocks = [b.splitlines() for b in tables.split("\n\n") if b.startswith("|")]
    assert [len(block) for block in blocks] == [7, 4, 4]
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1


def test_html_escapes_labels():
    report = evaluate_predictions(["<b>", "sad"], ["<b>", "sad"])
    assert "<th>&lt;b&gt;</th>" in report._repr_html_()
    assert "<b>" not in report._repr_html_()


def test_html_shades_each_cell_by_its_row_fraction():
    html = evaluate_predictions(["a"] * 4 + ["b"], ["a"] * 3 + ["b"] * 2)._repr_html_()
    assert '0.45)">3<br><small>75 %</small>' in html
    assert '0.15)">1<br><small>25 %</small>' in html
    assert '0.60)">1<br><small>100 %</small>' in html
    assert '0.00)">0<br><small>0 %</small>' in html


def test_html_of_a_label_without_images():
    html = evaluate_predictions(["a"], ["a"], labels=["a", "b"])._repr_html_()
    assert "nan" not in html


def test_scoring_gives_the_numbers_of_the_report(fitted):
    X, y = np.zeros((40, 1)), np.array(["happy", "sad", "happy", "fear"] * 10)
    scores = cross_validate(DummyClassifier(), X, y, scoring=SCORING, cv=2, error_score="raise")
    report = evaluate_predictions(y, ["happy"] * 40)
    for name in SCORING:
        assert scores[f"test_{name}"].mean() == pytest.approx(report.overall[name].value)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([], [], "y_true is empty: found 0 label(s), expected at least one."),
        (
            ["sad"],
            ["sad", "sad"],
            "y_true has 1 label(s) and y_pred 2; expected one of each for every image.",
        ),
        (
            [["sad"]],
            ["sad"],
            "y_true has shape (1, 1); expected one label per image, (n_samples,).",
        ),
        (
            ["sad", None],
            ["sad", "sad"],
            "y_true[1] is None, which is not a label; expected text or a number. "
            "Correct the label or drop the image.",
        ),
        (
            ["sad", "sad"],
            ["sad", np.nan],
            "y_pred[1] is nan, which is not a label; expected text or a number. "
            "Correct the label or drop the image.",
        ),
        (
            [3, "sad"],
            [3, 3],
            "y_true mixes text and numbers: y_true[0] is 3 and y_true[1] is 'sad'; expected "
            "one kind.",
        ),
        (
            [3],
            ["happy"],
            "Text and numbers cannot be compared as labels: y_true 3, y_pred 'happy', for "
            "example. Use one kind; fer_sklearn.emotions.FER2013_CODES[code] is the name of a "
            "code.",
        ),
    ],
)
def test_bad_labels_are_errors(y_true, y_pred, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        evaluate_predictions(y_true, y_pred)
    assert str(caught.value) == message


def test_labels_must_name_all_that_occur():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        evaluate_predictions(["happy", "anger"], ["happy", "happy"], labels=["angry", "happy"])
    assert str(caught.value) == (
        "y_true has 1 label(s) that are not among labels: 'anger'; expected some of 'angry', "
        "'happy'. Did you mean 'angry'? Drop those images, or list every label in labels=."
    )


def test_labels_must_differ():
    with pytest.raises(ValueError, match=r"^labels has a label twice: \['sad', 'sad'\]\.$"):
        evaluate_predictions(["sad"], ["sad"], labels=["sad", "sad"])


def test_a_label_the_estimator_has_not_seen_is_an_error(fitted):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        evaluate(fitted, [[0]] * 3, ["happy", "contempt", "contempt"])
    assert str(caught.value).startswith(
        "y has 2 label(s) that are not among the classes that DummyClassifier was fitted on: "
        "'contempt'; expected some of 'angry', "
    )


def test_a_label_the_estimator_has_not_seen_counts_as_missed_on_request(fitted):
    report = evaluate(fitted, [[0]] * 2, ["happy", "contempt"], labels=[*EMOTIONS, "contempt"])
    assert report.overall["accuracy"].value == 0.5
    assert report.per_emotion["contempt"]["recall"].value == 0


def test_evaluate_needs_one_label_per_image(fitted):
    with pytest.raises(
        ValueError,
        match=r"^X has 2 image\(s\) and y 1 label\(s\); expected one label per image\.$",
    ):
        evaluate(fitted, [[0]] * 2, ["happy"])


def test_evaluate_needs_an_image(fitted):
    with pytest.raises(
        ValueError,
        match=r"^X and y are empty; expected at least one image with its label\.$",
    ):
        evaluate(fitted, [], [])


@pytest.mark.parametrize(
    "parameters", [{"n_resamples": 0}, {"confidence_level": 1.0}, {"random_state": "x"}]
)
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=rf"^The '{name}' parameter of .*evaluate_predictions"):
        evaluate_predictions(["sad"], ["sad"], **parameters)


def test_a_hundred_labels_do_not_need_gigabytes():
    y_true, y_pred = _predictions(3000, labels=np.arange(100))
    tracemalloc.start()
    try:
        report = evaluate_predictions(y_true, y_pred)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.overall["macro_f1"].value == pytest.approx(
        f1_score(y_true, y_pred, average="macro")
    )
    assert peak < 200e6
