"""Comparison of models: tests checked against scipy and by hand, and their verdicts."""

import json
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import confusion_matrix

from fer_sklearn import EMOTIONS, AbstainingClassifier
from fer_sklearn.evaluation import compare, evaluate, evaluate_predictions
from fer_sklearn.evaluation._metrics import CONFUSION_METRICS


def make_predictions(y_true, fraction, seed, sharpness=3.0):
    """Return probabilities that are highest for the true label in a fraction of the images."""
    rng = np.random.default_rng(seed)
    true = np.searchsorted(EMOTIONS, y_true)
    predicted = np.where(rng.random(len(true)) < fraction, true, rng.integers(0, 7, len(true)))
    scores = rng.random((len(true), 7))
    scores[np.arange(len(true)), predicted] += sharpness
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def _report(y_true, proba, *, with_probabilities=True):
    return evaluate_predictions(
        y_true,
        np.array(EMOTIONS)[proba.argmax(axis=1)],
        y_proba=proba if with_probabilities else None,
        labels=EMOTIONS,
        n_resamples=10,
    )


@pytest.fixture(scope="module")
def y_true():
    return np.random.default_rng(0).choice(EMOTIONS, 500)


@pytest.fixture(scope="module")
def reports(y_true):
    fractions = {"good": 0.8, "as good": 0.8, "poor": 0.5}
    return {
        name: _report(y_true, make_predictions(y_true, fraction, seed))
        for seed, (name, fraction) in enumerate(fractions.items())
    }


@pytest.fixture(scope="module")
def comparison(reports):
    return compare(reports)


def test_every_pair_and_every_number_is_compared(reports, comparison):
    pairs = [("good", "as good"), ("good", "poor"), ("as good", "poor")]
    assert [(t.first, t.second) for t in comparison.tests] == pairs
    assert [(d.first, d.second, d.metric) for d in comparison.differences] == [
        (*pair, metric) for pair in pairs for metric in reports["good"].overall
    ]


def test_differences_match_the_reports(reports, comparison):
    for d in comparison.differences:
        first, second = (reports[name].overall[d.metric].value for name in (d.first, d.second))
        assert (d.first_value, d.second_value) == (first, second)
        assert d.value == pytest.approx(first - second)
        assert d.low < d.value < d.high or d.metric == "expected_calibration_error"


def test_intervals_match_a_plain_paired_bootstrap(y_true):
    probas = [make_predictions(y_true, fraction, seed) for seed, fraction in enumerate((0.8, 0.7))]
    found = {
        d.metric: (d.low, d.high)
        for d in compare([_report(y_true, p) for p in probas], n_resamples=3000).differences
    }
    true = np.searchsorted(EMOTIONS, y_true)
    right = [proba.argmax(axis=1) == true for proba in probas]
    losses = [-np.log(proba[np.arange(500), true]) for proba in probas]
    rows = np.random.default_rng(5).integers(0, 500, (3000, 500))
    for metric, (first, second) in {"accuracy": right, "log_loss": losses}.items():
        apart = first[rows].mean(axis=1) - second[rows].mean(axis=1)
        np.testing.assert_allclose(found[metric], np.quantile(apart, [0.025, 0.975]), atol=0.015)


def test_models_are_compared_image_by_image(y_true):
    # Two models that differ on five images do differ, however much both vary.
    proba = make_predictions(y_true, 0.5, 0)
    other = proba.copy()
    wrong = np.flatnonzero(np.array(EMOTIONS)[proba.argmax(axis=1)] != y_true)[:5]
    other[wrong] = np.eye(7)[np.searchsorted(EMOTIONS, y_true[wrong])]
    accuracy = compare([_report(y_true, other), _report(y_true, proba)]).differences[0]
    assert accuracy.value == pytest.approx(0.01)
    assert -0.001 < accuracy.low < accuracy.high < 0.022
    single = _report(y_true, proba).overall["accuracy"]
    assert single.high - single.low > 0.05


def test_mcnemar_by_hand():
    y_true = ["a"] * 20 + ["b"] * 20
    first = ["a"] * 18 + ["b"] * 22
    second = ["a"] * 17 + ["b"] * 3 + ["a"] * 9 + ["b"] * 11
    (test,) = compare(
        [evaluate_predictions(y_true, y_pred) for y_pred in (first, second)], n_resamples=50
    ).tests
    right = Counter((a == t, b == t) for t, a, b in zip(y_true, first, second, strict=True))
    assert (test.first_only, test.second_only) == (right[True, False], right[False, True])
    assert (test.first_only, test.second_only) == (10, 0)
    assert test.p_value == pytest.approx(2 * binom.cdf(0, 10, 0.5))


def test_a_model_does_not_differ_from_itself(reports):
    comparison = compare([reports["poor"]] * 2)
    (test,) = comparison.tests
    assert (test.first_only, test.second_only, test.p_value) == (0, 0, 1.0)
    for d in comparison.differences:
        if d.metric not in ("log_loss", "expected_calibration_error"):
            # They might differ on images that are not among these.
            assert (d.value, d.p_value) == (0, 1)
            assert -0.05 < d.low == -d.high < 0
    (verdict,) = comparison.verdicts
    assert "no significant difference in accuracy" in verdict
    assert "But" not in verdict


def test_difference_of_accuracies_has_the_interval_of_bonett_and_price():
    truth = ["a"] * 100
    first, second = (["a"] * 90 + ["b"] * 10, ["a"] * 84 + ["b"] * 6 + ["a"] * 2 + ["b"] * 8)
    accuracy = compare([evaluate_predictions(truth, p) for p in (first, second)]).differences[0]
    only, other_only = (6 + 1) / 102, (2 + 1) / 102
    error = np.sqrt((only + other_only - (only - other_only) ** 2) / 102)
    assert accuracy.value == pytest.approx(0.04)
    assert accuracy.high - accuracy.value == pytest.approx(1.96 * error, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "weighted_f1", "cohen_kappa"])
def test_standard_errors_of_differences_match_a_plain_bootstrap(y_true, metric):
    labels = [
        np.array(EMOTIONS)[make_predictions(y_true, fraction, seed).argmax(axis=1)]
        for seed, fraction in enumerate((0.8, 0.6))
    ]
    reports = [evaluate_predictions(y_true, y_pred, labels=EMOTIONS) for y_pred in labels]
    (found,) = (d for d in compare(reports).differences if d.metric == metric)
    resampled, rng = [], np.random.default_rng(0)
    for _ in range(200):
        rows = rng.integers(0, 500, 500)
        values = [
            CONFUSION_METRICS[metric](confusion_matrix(y_true[rows], y_pred[rows], labels=EMOTIONS))
            for y_pred in labels
        ]
        resampled.append(values[0] - values[1])
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(np.std(resampled), rel=0.2)


def test_p_values_of_equal_models_are_uniform():
    rng, p_values, exact = np.random.default_rng(0), [], []
    for _ in range(100):
        right = rng.random((2, 300)) < 0.7
        reports = [
            evaluate_predictions(["a"] * 300, np.where(r, "a", "b"), n_resamples=10) for r in right
        ]
        comparison = compare(reports, n_resamples=200)
        p_values.append(comparison.differences[0].p_value)
        exact.append(comparison.tests[0].p_value)
    assert 0.005 <= np.mean(np.array(p_values) <= 0.1) <= 0.2
    assert np.mean(np.array(exact) <= 0.1) <= 0.2


def test_holm_by_hand(reports, comparison):
    p_values = [test.p_value for test in comparison.tests]
    order = np.argsort(p_values)
    expected, at_least = [0.0] * 3, 0.0
    for rank, place in enumerate(order):
        at_least = max(at_least, min(1, (3 - rank) * p_values[place]))
        expected[place] = at_least
    assert [test.p_holm for test in comparison.tests] == pytest.approx(expected)
    assert p_values[0] > 0.05 > p_values[1]


def test_holm_of_a_published_example():
    from fer_sklearn.evaluation import PairedTest
    from fer_sklearn.evaluation._compare import _corrected

    p_values = (0.01, 0.04, 0.03, 0.005)
    family = [PairedTest("a", str(i), 0, 0, p, p) for i, p in enumerate(p_values)]
    assert [test.p_holm for test in _corrected(family)] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_two_models_need_no_correction(reports):
    comparison = compare({name: reports[name] for name in ("good", "poor")})
    for item in comparison.differences + comparison.tests:
        assert item.p_holm == pytest.approx(item.p_value, nan_ok=True)
    assert "Holm" not in repr(comparison)
    assert "corrected" not in repr(comparison)


def test_verdict_on_models_that_differ(reports, comparison):
    same, differ, _ = comparison.verdicts
    good, poor = (100 * reports[name].overall["accuracy"].value for name in ("good", "poor"))
    assert differ.startswith(f"good and poor differ in accuracy: {good:.1f} % and {poor:.1f} % of")
    assert differ.endswith("McNemar's p < 0.001, corrected for the number of pairs).")
    assert same.startswith("good and as good: no significant difference in accuracy")


@pytest.mark.parametrize(
    ("n_only", "said"),
    [
        (5, "no significant difference in accuracy"),
        (6, "differ in accuracy"),
    ],  # p is 0.0625 and 0.03125
)
def test_models_differ_at_a_p_value_of_5_percent_or_less(n_only, said):
    truth = ["a"] * 20 + ["b"] * 20
    reports = [
        evaluate_predictions(truth, y_pred) for y_pred in (truth, ["b"] * n_only + truth[n_only:])
    ]
    assert said in compare(reports).verdicts[0]
    assert "no significant difference in accuracy" in compare([*reports, reports[0]]).verdicts[0]
    assert (
        "no significant difference in accuracy"
        in compare(reports, confidence_level=0.99).verdicts[0]
    )


def test_verdict_on_models_that_differ_in_another_metric(y_true):
    probas = [make_predictions(y_true, 0.8, 0, sharpness) for sharpness in (3.0, 9.0)]
    comparison = compare({"a": _report(y_true, probas[0]), "b": _report(y_true, probas[1])})
    (verdict,) = comparison.verdicts
    assert verdict.startswith("a and b: no significant difference in accuracy")
    assert verdict.endswith("But they differ in log loss.")


def test_probabilities_are_compared_where_both_are_known(y_true):
    proba = make_predictions(y_true, 0.8, 0)
    reports = {
        name: _report(y_true, proba, with_probabilities=known)
        for name, known in {"a": True, "b": False, "c": True}.items()
    }
    found = Counter(d.metric for d in compare(reports, n_resamples=20).differences)
    assert found["accuracy"] == 3
    assert found["log_loss"] == 1


def test_same_seed_same_comparison(reports):
    results = [compare(reports, random_state=seed).to_dict() for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_frame_is_tidy(comparison):
    frame = comparison.to_frame()
    assert len(frame) == 3 * 8
    accuracy = frame[frame.metric == "accuracy"]
    assert accuracy.mcnemar_p.tolist() == [test.p_value for test in comparison.tests]
    assert frame[frame.metric != "accuracy"].mcnemar_p.isna().all()


def test_json_is_strict(y_true):
    # Kappa is undefined if there is only one label.
    report = evaluate_predictions(["a"] * 3, ["a"] * 3)
    read = json.loads(compare([report, report]).to_json(), parse_constant=pytest.fail)
    (kappa,) = (d for d in read["differences"] if d["metric"] == "cohen_kappa")
    assert kappa["value"] is kappa["p_value"] is None
    assert read["mcnemar"][0]["p_value"] == 1.0


def test_tables_are_aligned(comparison):
    _, verdicts, *tables = repr(comparison).split("\n\n")
    assert verdicts.splitlines() == comparison.verdicts
    assert len(tables) == 4
    for table in tables:
        _caption, *lines = table.splitlines()
        assert len({len(line) for line in lines}) == 1


def test_markdown_and_html_contain_verdicts_and_tables(comparison, reports):
    markdown = comparison.to_markdown()
    assert all(f"- {verdict}" in markdown for verdict in comparison.verdicts)
    assert markdown.count("| log loss |") == 3
    html = compare({"<b>": reports["good"], "x": reports["poor"]})._repr_html_()
    assert "&lt;b&gt; and x differ in accuracy" in html
    assert "<b>" not in html


@pytest.mark.parametrize(
    ("truth", "labels", "message"),
    [
        (["a", "b", "b"], None, "reports 'x' and 'y' are of 2 and 3 images; expected the same"),
        (
            ["b", "a"],
            None,
            "reports 'x' and 'y' are of different images: 2 of 2 true labels differ, such as "
            "that of image 0, 'a' and 'b'; expected the same images in the same order.",
        ),
        (
            ["a", "b"],
            ["b", "a"],
            "reports 'x' and 'y' have different labels, ['a', 'b'] and ['b', 'a']; expected "
            "the same in the same order. Pass the same labels= to both evaluations.",
        ),
    ],
)
def test_reports_for_other_images_are_rejected(truth, labels, message):
    reports = {
        "x": evaluate_predictions(["a", "b"], ["a", "b"]),
        "y": evaluate_predictions(truth, truth, labels=labels),
    }
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        compare(reports)
    assert str(caught.value).startswith(message)


def test_one_report_is_rejected(reports):
    with pytest.raises(ValueError, match=r"^reports has 1 report\(s\); expected at least two\.$"):
        compare([reports["good"]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": 0.9, "b": 0.8}, r"^reports\['a'\] is float; expected an EvaluationReport"),
        ("ab", r"^reports is str; expected a mapping of names to reports, or a list"),
    ],
)
def test_anything_but_reports_is_rejected(given, message):
    with pytest.raises(TypeError, match=message):
        compare(given)


def test_models_of_different_classes_are_refused():
    y, labels = ["happy", "sad"] * 4, ["contempt", "happy", "sad"]
    X = [[0]] * len(y)
    seven = evaluate(DummyClassifier().fit(X, y), X, y, labels=labels)
    eight = evaluate(DummyClassifier().fit([*X, [0]], [*y, "contempt"]), X, y, labels=labels)
    with pytest.raises(
        ValueError,
        match=r"^reports 'a' and 'b' are of models with different classes: only the second "
        r"predicts 'contempt'\. .*evaluate_predictions\.$",
    ):
        compare({"a": seven, "b": eight})


def test_an_abstaining_model_has_the_classes_of_the_other():
    y, labels = ["happy", "sad"] * 4, ["happy", "sad", "uncertain"]
    X = [[0]] * len(y)
    model = DummyClassifier().fit(X, y)
    abstaining = AbstainingClassifier(FrozenEstimator(model), threshold=0.9).fit(X, y)
    reports = [evaluate(each, X, y, labels=labels) for each in (model, abstaining)]
    assert compare(reports).tests[0].first_only == 4
