"""scikit-learn's own checks on every estimator, counted.

A test suite can be green because hardly any check ran: tags that reject two-dimensional
input skip nearly all of them. So each estimator states how many must run and pass, and each
expected failure has a reason, and names the test that replaces the check.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import check_estimator

import fer_sklearn
from fer_sklearn import (
    AbstainingClassifier,
    BalancedPCA,
    CappedPCA,
    CodebookExtractor,
    FaceCropper,
    FaceEmbedder,
    FERCNNClassifier,
    GrayscaleResizer,
    HOGExtractor,
    HOGSVMClassifier,
    LBPExtractor,
    LSSVMClassifier,
    MirroredFeatures,
    PixelNormalizer,
    RGBResizer,
)
from fer_sklearn.inference import InferenceClassifier

# Its list of checks is written by `python tests/test_common.py`.
GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "scikit_learn.md"
MARKS = ("<!-- Written by `python tests/test_common.py`. -->\n", "<!-- End of the checks. -->")

# Skipped unless an environment variable is set before SciPy is imported.
ALLOWED_SKIPS = {"check_array_api_input"}


@dataclass(frozen=True)
class ExpectedFailure:
    """Why a check cannot pass, and the test that replaces it."""

    reason: str
    replacement: str


@dataclass(frozen=True)
class Case:
    """An estimator, the number of checks it must pass, and those it cannot pass."""

    estimator: BaseEstimator
    n_passed: int
    expected_failures: dict = field(default_factory=dict)


def _same(reason, replacement, *checks):
    return dict.fromkeys(checks, ExpectedFailure(reason, replacement))


def _reads_nothing_in_fit(file):
    return _same(
        "the check passes negative pixels to fit, which does not read photos, since they may be "
        "files; transform rejects them",
        f"{file}::test_negative_pixels_are_rejected",
        "check_fit_non_negative",
        "check_positive_only_tag_during_fit",
    )


_BEYOND_ONE = (
    "the check uses floats beyond 1, which only the method 'standard' accepts as pixels; "
    "PixelNormalizer('standard') passes it with the same code"
)
# What an estimator cannot pass that refuses the images of these checks.
_CHECKS_OF_ROWS = (
    "check_dict_unchanged",
    "check_estimators_dtypes",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_pipeline_consistency",
)
_CHECKS_OF_FITTED_DESCRIPTORS = (
    *_CHECKS_OF_ROWS,
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_score_takes_y",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
)


def _too_small(*more):
    return _same(
        "the check uses rows of 1 to 10 pixels, in which the default cells or patches do not fit; "
        "the next line of the table passes it with the same code",
        "test_common.py::test_passes_the_checks_of_scikit_learn",
        *_CHECKS_OF_FITTED_DESCRIPTORS,
        *more,
    )


_TRAINED_BEFORE = (
    "the check fits the classifier; this one was trained before, so that fit reads neither images "
    "nor labels, and it predicts the labels and images of 48×48 pixels of its file"
)
_FITS_BY_ITERATION = _same(
    "the check compares weights with copies to 1e-7, below the tolerance of the solvers",
    "svm/test_svm.py::test_weights_are_the_same_as_copies",
    "check_sample_weight_equivalence_on_dense_data",
)

ESTIMATORS = [
    *(
        Case(estimator, 35, _reads_nothing_in_fit(file))
        for estimator, file in (
            (GrayscaleResizer(), "test_preprocessing.py"),
            (FaceCropper(), "faces/test_faces.py"),
            (FaceEmbedder(), "test_embedding.py"),
            (RGBResizer(), "test_preprocessing.py"),
        )
    ),
    Case(PixelNormalizer(method="standard"), n_passed=45),
    Case(
        PixelNormalizer(),
        n_passed=31,
        expected_failures=_same(
            _BEYOND_ONE,
            "test_preprocessing.py::test_every_method_treats_each_image_by_itself",
            *_CHECKS_OF_ROWS,
            "check_transformer_data_not_an_array",
            "check_transformer_general",
            "check_transformer_preserve_dtypes",
        )
        | _same(
            "fit only records the size; transform rejects pixels outside [0, 1]",
            "test_preprocessing.py::test_floats_beyond_one_are_an_error_with_a_remedy",
            "check_fit_non_negative",
            "check_positive_only_tag_during_fit",
        ),
    ),
    Case(
        HOGExtractor(),
        n_passed=17,
        expected_failures=_too_small("check_transformers_unfitted_stateless"),
    ),
    Case(HOGExtractor(pixels_per_cell=1, cells_per_block=1), n_passed=44),
    Case(
        LBPExtractor(),
        n_passed=17,
        expected_failures=_too_small("check_transformers_unfitted_stateless"),
    ),
    Case(LBPExtractor(grid=1), n_passed=44),
    Case(
        CodebookExtractor(),
        n_passed=19,
        expected_failures=_too_small(),
    ),
    Case(CodebookExtractor(patch_size=1, n_codewords=2, grid=1, n_patches=100), n_passed=44),
    Case(
        MirroredFeatures(),
        n_passed=19,
        expected_failures=_too_small(),
    ),
    Case(MirroredFeatures(HOGExtractor(pixels_per_cell=1, cells_per_block=1)), n_passed=45),
    Case(CappedPCA(), n_passed=46),
    Case(BalancedPCA(), n_passed=46),
    Case(
        AbstainingClassifier(GaussianNB(), threshold=0.0),
        n_passed=53,
        expected_failures=_same(
            "the check has labels -1 and 1, but -1 means uncertain if labels are numbers",
            "test_uncertainty.py::test_numeric_labels_have_a_number_for_uncertain",
            "check_classifiers_classes",
        ),
    ),
    Case(LSSVMClassifier(), n_passed=62),
    Case(
        LSSVMClassifier(probability=True),
        n_passed=61,
        expected_failures=_same(
            "calibration leaves out one copy at a time, but a weighted sample as a whole",
            "svm/test_least_squares.py::test_weights_of_one_change_no_probability",
            "check_sample_weight_equivalence_on_dense_data",
        ),
    ),
    Case(
        HOGSVMClassifier(),
        n_passed=61,
        expected_failures=_FITS_BY_ITERATION,
    ),
    Case(
        HOGSVMClassifier(kernel="linear"),
        n_passed=61,
        expected_failures=_FITS_BY_ITERATION,
    ),
    Case(
        HOGSVMClassifier(probability=True, random_state=0),
        n_passed=58,
        expected_failures=_same(
            "weighted samples and copies are split into different calibration folds",
            "svm/test_svm.py::test_calibrated_weights_of_one_change_nothing",
            "check_sample_weight_equivalence_on_dense_data",
        )
        | _same(
            "the check expects predict to return the most probable class, but it follows "
            "decision_function, which accounts for class_weight",
            "svm/test_svm.py::test_probabilities_are_calibrated_on_request",
            "check_classifiers_train",
        ),
    ),
    Case(
        InferenceClassifier(),
        n_passed=25,
        expected_failures=_same(
            _TRAINED_BEFORE,
            "test_inference.py::test_it_works_with_other_classifiers",
            *_CHECKS_OF_ROWS,
            "check_classifier_data_not_an_array",
            "check_classifiers_classes",
            "check_classifiers_one_label",
            "check_classifiers_regression_target",
            "check_classifiers_train",
            "check_complex_data",
            "check_dtype_object",
            "check_estimator_sparse_array",
            "check_estimator_sparse_matrix",
            "check_estimator_sparse_tag",
            "check_estimators_empty_data_messages",
            "check_estimators_nan_inf",
            "check_fit1d",
            "check_fit_score_takes_y",
            "check_n_features_in",
            "check_n_features_in_after_fitting",
            "check_supervised_y_2d",
            "check_supervised_y_no_nan",
        ),
    ),
    Case(
        FERCNNClassifier(epochs=10),
        n_passed=61,
        expected_failures=_same(
            "weighted images and repeated ones are split into different minibatches",
            "cnn/test_cnn.py::test_images_with_zero_weight_are_ignored",
            "check_sample_weight_equivalence_on_dense_data",
        ),
    ),
]


def _is_slow(estimator):
    return isinstance(estimator, (FaceCropper, FERCNNClassifier, InferenceClassifier)) or (
        isinstance(estimator, HOGSVMClassifier) and estimator.probability
    )


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if _is_slow(case.estimator) else [])
        for case in ESTIMATORS
    ],
    ids=lambda case: repr(case.estimator),
)
@pytest.mark.filterwarnings("ignore::fer_sklearn.exceptions.NoFaceWarning")
@pytest.mark.filterwarnings("ignore:InferenceClassifier cannot be trained")
@pytest.mark.filterwarnings("ignore:All images of 0 have the weight 0")
def test_passes_the_checks_of_scikit_learn(case):
    results = check_estimator(
        case.estimator,
        expected_failed_checks={
            name: failure.reason for name, failure in case.expected_failures.items()
        },
        on_fail=None,
        on_skip=None,
    )
    by_status = {
        status: {result["check_name"] for result in results if result["status"] == status}
        for status in ("failed", "xfail", "skipped")
    }
    errors = {
        result["check_name"]: result["exception"]
        for result in results
        if result["status"] == "failed"
    }
    assert not errors
    # Remove expected failures that no longer occur.
    assert by_status["xfail"] == set(case.expected_failures)
    assert by_status["skipped"] <= ALLOWED_SKIPS
    assert Counter(result["status"] for result in results)["passed"] >= case.n_passed


def test_every_replacement_exists(request):
    tests = request.config.rootpath / "tests"
    for case in ESTIMATORS:
        for failure in case.expected_failures.values():
            file, name = failure.replacement.split("::")
            assert f"def {name}(" in (tests / file).read_text(encoding="utf-8"), failure


def test_every_public_estimator_is_checked():
    public = {
        value
        for name in fer_sklearn.__all__
        if isinstance(value := getattr(fer_sklearn, name), type)
        and issubclass(value, BaseEstimator)
    }
    checked = [case.estimator for case in ESTIMATORS]
    assert public | {InferenceClassifier} == set(map(type, checked))
    # The first has no default estimator, and fifty epochs of the second would take a minute.
    for kind in public - {AbstainingClassifier, FERCNNClassifier}:
        assert repr(kind()) in map(repr, checked)


def checks_table():
    """Return the part of the guide that lists the checks, in Markdown."""
    lines = ["| estimator | checks passed | expected failures |", "| --- | ---: | ---: |"]
    reasons = {}
    for case in ESTIMATORS:
        lines.append(f"| `{case.estimator}` | {case.n_passed} | {len(case.expected_failures)} |")
        for name, failure in case.expected_failures.items():
            reasons.setdefault((failure.reason, name), []).append(f"`{case.estimator}`")
    by_reason = {}
    for (reason, name), estimators in reasons.items():
        by_reason.setdefault((reason, tuple(estimators)), []).append(name)
    lines.append("")
    for (reason, estimators), names in by_reason.items():
        checks = ", ".join(f"`{name}`" for name in sorted(names))
        lines.append(f"- {', '.join(estimators)}: {reason} ({checks}).")
    return "\n".join(lines) + "\n"


def _guide_and_table():
    text = GUIDE.read_text(encoding="utf-8")
    start, end = (text.index(mark) for mark in MARKS)
    start += len(MARKS[0])
    return text[:start] + "\n" + checks_table() + "\n" + text[end:], text


def test_the_guide_lists_the_checks():
    expected, text = _guide_and_table()
    assert text == expected, "run `python tests/test_common.py`"


if __name__ == "__main__":
    GUIDE.write_text(_guide_and_table()[0], encoding="utf-8")
