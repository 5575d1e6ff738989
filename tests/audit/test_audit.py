"""Data audits: blank images, duplicates, conflicting labels, likely label errors."""

import json
import sys
from collections import Counter

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, KFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from fer_sklearn import EMOTIONS, HOGExtractor, duplicate_report, load_fer2013, make_faces
from fer_sklearn.audit import audit_dataset
from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.images import resize, resize_gray, write_image
from fer_sklearn.preprocessing import GrayscaleResizer

N_WRONG = 14


def hog_logistic():
    return make_pipeline(HOGExtractor(), LogisticRegression(max_iter=200))


def confident(codes, n_classes=7):
    """Return probabilities of 0.9 for each label; the rest is divided evenly."""
    proba = np.full((len(codes), n_classes), 0.1 / (n_classes - 1))
    proba[np.arange(len(codes)), codes] = 0.9
    return proba


class PixelBayes(GaussianNB):
    """Return a fast classifier of pixels."""

    def fit(self, X, y):
        return super().fit(X.reshape(len(X), -1), y)

    def predict_proba(self, X):
        return super().predict_proba(X.reshape(len(X), -1))


@pytest.fixture(scope="module")
def spoiled():
    """Return 280 synthetic faces with known problems, and the problems."""
    X, y = make_faces(280, noise=3, random_state=0, return_X_y=True)
    X[3], X[40] = 0, 255
    X[50] = X[51]
    X[60] = X[61] = X[62]
    y[50] = y[51]
    y[60:63] = "happy", "happy", "sad"
    wrong = np.random.default_rng(0).choice(np.arange(70, 280), N_WRONG, replace=False)
    y[wrong] = [EMOTIONS[EMOTIONS.index(label) - 3] for label in y[wrong]]
    return X, y, wrong


@pytest.fixture(scope="module")
def report(spoiled):
    X, y, _ = spoiled
    return audit_dataset(X, y)


# The audit


def test_finds_the_same_images_as_cleanlab_with_a_real_classifier(report):
    filters = pytest.importorskip("cleanlab.filter")
    mask = filters.find_label_issues(
        report.codes, report.y_proba, filter_by="confident_learning", n_jobs=1
    )
    np.testing.assert_array_equal(np.sort(report.label_errors), np.flatnonzero(mask))


def test_finds_all_problems(report, spoiled):
    wrong = spoiled[2]
    assert report.blank.tolist() == [3, 40]
    assert report.copies.tolist() == [51, 61, 62]
    assert [members.tolist() for members in report.label_conflicts] == [[60, 61, 62]]
    assert np.isin(wrong, report.label_errors).mean() > 0.7
    assert np.isin(report.label_errors[: N_WRONG // 2], [*wrong, 62]).mean() > 0.8


def test_counts_match_the_duplicate_report(report, spoiled):
    X, y, _ = spoiled
    counted = duplicate_report(X, y)
    assert counted.copies == {"all": len(report.copies)}
    assert counted.label_conflicts == {"all": len(report.label_conflicts)}


def test_the_most_confident_come_first(report):
    own = report.y_proba[report.label_errors, report.codes[report.label_errors]]
    margin = report.confidence - own
    assert (np.diff(margin) <= 0).all()
    assert (margin > 0).all()


def test_an_image_is_scored_without_training_on_its_duplicates():
    # Each face occurs twice, with the same random label: a classifier that has seen the copy is
    # always correct, one that has not is correct by chance.
    X, _ = make_faces(60, random_state=0, return_X_y=True)
    X, y = np.repeat(X, 2, axis=0), np.repeat(np.random.default_rng(0).choice(["a", "b"], 60), 2)
    report = audit_dataset(X, y, estimator=hog_logistic())
    assert 0.2 < (report.y_proba.argmax(axis=1) == report.codes).mean() < 0.8
    np.testing.assert_allclose(report.y_proba[::2], report.y_proba[1::2], atol=1e-9)


def test_the_same_seed_gives_the_same_audit(spoiled, report):
    X, y, _ = spoiled
    with parallel_config("threading"):
        again = audit_dataset(X, y, n_jobs=2)
    np.testing.assert_array_equal(again.y_proba, report.y_proba)
    np.testing.assert_array_equal(again.label_errors, report.label_errors)


def test_precomputed_probabilities_in_another_order():
    X, y = make_faces(14, random_state=0, return_X_y=True)
    labels = np.array(sorted(set(y), reverse=True))
    codes = np.array([labels.tolist().index(label) for label in y])
    proba = confident(codes)
    proba[[0, 1]] = proba[[1, 0]]
    report = audit_dataset(X, y, y_proba=proba, labels=labels)
    assert sorted(report.label_errors) == [0, 1]
    frame = report.to_frame().set_index("index")
    assert frame.loc[0, "label"] == y[0]
    assert frame.loc[0, "suggested_label"] == y[1]


def test_an_estimator_that_names_its_classes_in_another_order(spoiled):
    class Reversed(PixelBayes):
        def fit(self, X, y):
            super().fit(X, y)
            self.classes_ = self.classes_[::-1]
            return self

        def predict_proba(self, X):
            return super().predict_proba(X)[:, ::-1]

    X, y, _ = spoiled
    one, other = (
        audit_dataset(X, y, estimator=estimator, cv=2).y_proba
        for estimator in (PixelBayes(), Reversed())
    )
    np.testing.assert_array_equal(one, other)


def test_without_label_errors(spoiled):
    X, y, _ = spoiled
    report = audit_dataset(X, y, label_errors=False)
    assert report.blank.tolist() == [3, 40]
    assert report.y_proba is None
    assert len(report.label_errors) == len(report.confidence) == 0
    assert "label errors" not in repr(report)
    assert "labels not checked" in repr(report)
    assert set(report.to_frame()["problem"]) == {"blank", "copy", "conflict"}


@pytest.mark.parametrize("form", ["flat", "channel", "colour", "unit", "list", "files"])
def test_images_of_any_form(spoiled, form, tmp_path):
    X, y, _ = spoiled
    X, y = X[40:70], y[40:70]
    forms = {
        "flat": lambda: X.reshape(len(X), -1),
        "channel": lambda: X[..., np.newaxis],
        "colour": lambda: np.repeat(X[..., np.newaxis], 3, axis=3),
        "unit": lambda: X / np.float32(255),
        "list": lambda: list(X),
        "files": lambda: write_files(X, tmp_path),
    }
    report = audit_dataset(forms[form](), y, label_errors=False)
    assert report.blank.tolist() == [0]
    assert report.copies.tolist() == [11, 21, 22]


def write_files(X, folder):
    from PIL import Image

    paths = [folder / f"{i}.png" for i in range(len(X))]
    for image, path in zip(X, paths, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture
def n_reads(monkeypatch):
    """Count how often each file is read."""
    from fer_sklearn._utils import files

    counts, read = Counter(), files.read_source

    def counted(source, **options):
        counts[str(source)] += 1
        return read(source, **options)

    for module in [module for name, module in sys.modules.items() if name.startswith("fer_skl")]:
        if getattr(module, "read_source", None) is read:
            monkeypatch.setattr(module, "read_source", counted)
    return counts


@pytest.mark.parametrize(
    "estimator", [None, make_pipeline(GrayscaleResizer(24), HOGExtractor(), GaussianNB())]
)
def test_each_file_is_read_once(spoiled, tmp_path, n_reads, estimator):
    X, y, _ = spoiled
    rows = np.concatenate([np.flatnonzero(y == label)[:6] for label in EMOTIONS[:3]])
    paths = write_files(X[rows], tmp_path)
    report = audit_dataset(paths, y[rows], estimator=estimator, cv=3)
    assert n_reads == dict.fromkeys(map(str, paths), 1)
    of_pixels = audit_dataset(X[rows], y[rows], estimator=estimator, cv=3)
    np.testing.assert_array_equal(report.groups, of_pixels.groups)
    np.testing.assert_allclose(report.y_proba, of_pixels.y_proba)


@pytest.mark.parametrize("form", [np.asarray, list])
def test_a_frozen_estimator_is_not_refitted(form):
    X, y = make_faces(70, random_state=0, return_X_y=True)
    model = make_pipeline(GrayscaleResizer(24), HOGExtractor(), GaussianNB()).fit(X[:35], y[:35])
    report = audit_dataset(form(X), y, estimator=FrozenEstimator(model), cv=2)
    np.testing.assert_allclose(report.y_proba, model.predict_proba(X))


def test_a_search_is_repeated_on_each_fold():
    X, y = make_faces(70, random_state=0, return_X_y=True)
    model = make_pipeline(GrayscaleResizer(24), HOGExtractor(), GaussianNB())
    search = GridSearchCV(model, {"hogextractor__orientations": [2, 9]}, cv=2)
    expected = audit_dataset(X, y, estimator=search, cv=2).y_proba
    wrong = GridSearchCV(model, {"hogextractor__orientations": [2]}, cv=2).fit(X, y)
    wrong.param_grid = search.param_grid
    np.testing.assert_array_equal(audit_dataset(X, y, estimator=wrong, cv=2).y_proba, expected)


def test_an_estimator_may_read_files_itself(spoiled, tmp_path):
    class Reader(PixelBayes):
        def fit(self, X, y):
            return super().fit(resize_gray(X, (12, 12)), y)

        def predict_proba(self, X):
            return super().predict_proba(resize_gray(X, (12, 12)))

    X, y, _ = spoiled
    paths = write_files(X[70:140], tmp_path)
    report = audit_dataset(paths, y[70:140], estimator=Reader(), cv=2)
    of_pixels = audit_dataset(X[70:140], y[70:140], estimator=Reader(), cv=2)
    np.testing.assert_array_equal(report.y_proba, of_pixels.y_proba)


def test_how_little_contrast_is_blank():
    X, y = make_faces(20, random_state=0, return_X_y=True)
    X[0] = np.arange(48 * 48).reshape(48, 48) % 2 * 6  # a standard deviation of 3
    assert audit_dataset(X, y, label_errors=False).blank.tolist() == [0]
    assert audit_dataset(X, y, label_errors=False, min_contrast=2.9).blank.tolist() == []
    assert len(audit_dataset(X, y, label_errors=False, min_contrast=200).blank) == 20


def test_fer2013(fer2013_path):
    X, y = load_fer2013(fer2013_path, return_X_y=True)
    report = audit_dataset(X, y, label_errors=False)
    assert len(report.blank) == 12
    assert len(report.copies) == 1236
    assert len(report.label_conflicts) == 39


# Output


def test_frame(report):
    frame = report.to_frame()
    assert list(frame.columns) == [
        "index",
        "label",
        "problem",
        "suggested_label",
        "confidence",
        "group",
    ]
    assert frame["problem"].value_counts().to_dict() == {
        "blank": 2,
        "copy": 3,
        "conflict": 3,
        "label error": len(report.label_errors),
    }
    errors = frame[frame["problem"] == "label error"]
    assert errors["index"].tolist() == report.label_errors.tolist()
    assert (errors["label"] != errors["suggested_label"]).all()
    assert errors["confidence"].between(0, 1).all()
    others = frame[frame["problem"] != "label error"]
    assert others["confidence"].isna().all()
    assert set(others["suggested_label"]) == {None}
    assert frame.loc[frame["problem"] == "conflict", "group"].nunique() == 1


def test_suggested_numbers_stay_integers():
    X, y = make_faces(140, random_state=0, return_X_y=True)
    codes = np.unique(y, return_inverse=True)[1]
    X[3], codes[5] = 0, (codes[5] + 1) % 7
    frame = audit_dataset(X, codes).to_frame()
    suggested = frame.loc[frame["problem"] == "label error", "suggested_label"].tolist()
    assert suggested
    assert {type(label) for label in suggested} == {int}


def test_frame_of_a_clean_data_set():
    X, y = make_faces(14, random_state=0, return_X_y=True)
    frame = audit_dataset(X, y, label_errors=False).to_frame()
    assert len(frame) == 0
    assert "problem" in frame


def test_tables(report):
    text = repr(report)
    n = len(report.label_errors)
    first = text.splitlines()[0]
    assert first == (
        f"280 images: 2 blank images, 3 copies of others, 1 group of copies with different "
        f"labels, {n} likely label errors"
    )
    all_of_them = next(line for line in text.splitlines() if line.startswith("all"))
    assert all_of_them.split() == ["all", "280", "2", "3", "3", str(n)]
    assert "| all | 280 | 2 | 3 | 3 |" in report.to_markdown()
    assert "<table>" in report._repr_html_()
    assert len({len(line) for line in text.split("\n\n")[1].splitlines()[1:]}) == 1  # aligned


def test_json_is_that_of_the_dictionary(report, spoiled):
    found = json.loads(report.to_json())
    assert found == report.to_dict()
    assert found["blank"] == [3, 40]
    assert found["label_conflicts"] == [[60, 61, 62]]
    first = found["label_errors"][0]
    assert first["index"] == report.label_errors[0]
    assert first["label"] == spoiled[1][first["index"]]
    assert first["confidence"] == report.confidence[0]


def test_html_escapes_labels():
    X, y = make_faces(14, random_state=0, return_X_y=True)
    report = audit_dataset(X, np.where(y == "happy", "<b>", y), label_errors=False)
    assert "<b>" not in report._repr_html_()


def test_kept_images(report, spoiled):
    X, _, _ = spoiled
    assert np.flatnonzero(~report.mask()).tolist() == [3, 40, 51, 60, 61, 62]
    assert np.flatnonzero(~report.mask(exclude=["copy"])).tolist() == [51, 61, 62]
    assert report.mask(exclude=[]).all()
    everything = report.mask(exclude=["label error"])
    assert np.flatnonzero(~everything).tolist() == sorted(report.label_errors)
    np.testing.assert_array_equal(X[report.mask()], X[report.clean_indices])


def test_plot(report):
    figure = report.plot()
    shown = [ax for ax in figure.axes if ax.get_visible()]
    headings = [ax.get_ylabel() for ax in shown if ax.get_ylabel()]
    assert [heading.split("\n")[-1] for heading in headings] == [
        "(2)",
        "(1)",
        f"({len(report.label_errors)})",
    ]
    titles = [ax.get_title() for ax in shown]
    assert "happy\nsad" in titles
    assert len(shown) == 2 + 1 + min(30, len(report.label_errors))
    first = 2 + 1
    np.testing.assert_array_equal(
        shown[first].images[0].get_array(), report.images[report.label_errors[0]]
    )


def test_nothing_to_draw():
    X, y = make_faces(14, random_state=0, return_X_y=True)
    with pytest.raises(ValueError, match="nothing to draw"):
        audit_dataset(X, y, label_errors=False).plot()


def test_no_columns(report):
    with pytest.raises(ValueError, match="n_cols=0 must be at least 1"):
        report.plot(n_cols=0)


# Bad input


def test_unknown_problem(report):
    with pytest.raises(ValueError, match=r"problem='copies' is unknown.*Did you mean 'copy'"):
        report.mask(exclude=["copies"])
    with pytest.raises(ValueError, match=r"pass \['copy'\]"):
        report.mask(exclude="copy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": ["happy"] * 29}, r"X has 30 image\(s\) and y 29 label\(s\)"),
        ({"X": [], "y": []}, "is empty"),
        ({"y": ["happy"] * 30}, "y has only one label, 'happy'"),
        ({"y": [*["a", "b"] * 14, None, "a"]}, r"y\[28\] is None"),
        ({"labels": ["happy", "sad"]}, "not among labels"),
        ({"y_proba": np.full((30, 7), 0.5)}, r"y_proba\[0\].*a sum of 1"),
        ({"y_proba": np.full((29, 7), 1 / 7)}, r"y_proba has shape \(29, 7\)"),
        ({"y_proba": np.full((30, 6), 1 / 6)}, r"expected \(30, 7\)"),
        ({"y_proba": np.full((30, 7), 1 / 7), "estimator": hog_logistic()}, "expected one"),
        ({"cv": 1}, "'cv' parameter"),
        ({"min_contrast": -1}, "'min_contrast' parameter"),
        ({"cv": 5, "y": [*["a", "b"] * 14, "c", "c"]}, r"at least 5 different.*'c' 2"),
    ],
)
def test_bad_input(change, message):
    X, y = make_faces(30, size=16, random_state=0, return_X_y=True)
    with pytest.raises(ValueError, match=message):
        audit_dataset(**({"X": X, "y": y} | change))


def test_copies_of_one_image_are_not_enough_for_five_folds():
    X, y = make_faces(70, random_state=0, return_X_y=True)
    X[y == "disgust"] = X[y == "disgust"][0]
    with pytest.raises(ValueError, match=r"different images of each label.*'disgust' 1"):
        audit_dataset(X, y)


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_a_class_missing_from_a_training_part(spoiled):
    X, y, _ = spoiled
    order = np.argsort(y)
    with pytest.raises(ValueError, match=r"Fold 0 of cv=.* trains without .* 'angry'; expected"):
        audit_dataset(X[order], y[order], cv=KFold(7))


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_a_splitter_that_separates_duplicates(spoiled):
    X, y, _ = spoiled
    with pytest.raises(ValueError, match=r"trains fold \d on copies of"):
        audit_dataset(X, y, cv=StratifiedKFold(5, shuffle=True, random_state=0))


def test_a_splitter_that_does_not_cover_all_images(spoiled):
    X, y, _ = spoiled
    with pytest.raises(ValueError, match="never or several times"):
        audit_dataset(X, y, cv=GroupShuffleSplit(3, random_state=0))


def test_an_estimator_without_probabilities(spoiled):
    X, y, _ = spoiled
    with pytest.raises(TypeError, match=r"no predict_proba.*CalibratedClassifierCV"):
        audit_dataset(X, y, estimator=make_pipeline(HOGExtractor(), LinearSVC()))


def test_an_estimator_of_other_classes(spoiled):
    class Smiles(PixelBayes):
        def fit(self, X, y):
            return super().fit(X, y == "happy")

    X, y, _ = spoiled
    with pytest.raises(ValueError, match="expected the labels of y"):
        audit_dataset(X, y, estimator=Smiles())


@pytest.fixture(scope="module")
def damaged(spoiled, tmp_path_factory):
    """The known problems as files, their labels, and the positions of three that are unreadable."""
    X, y, _ = spoiled
    folder = tmp_path_factory.mktemp("damaged")
    paths = [folder / f"{i:03d}.png" for i in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        write_image(path, image)
    paths[0] = folder / "missing.png"
    paths[4].write_bytes(b"not an image")
    paths[100] = folder / "100.jpg"
    write_image(paths[100], resize(X[100], (300, 300)))
    data = bytearray(paths[100].read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    paths[100].write_bytes(data)
    return paths, y, [0, 4, 100]


@pytest.mark.parametrize(
    "estimator", [None, make_pipeline(GrayscaleResizer(12), PixelBayes())], ids=["default", "own"]
)
def test_files_that_cannot_be_read_are_listed_and_left_out(spoiled, damaged, estimator):
    paths, y, unreadable = damaged
    report = audit_dataset(paths, y, estimator=estimator)
    readable = np.setdiff1d(np.arange(len(y)), unreadable)
    expected = audit_dataset(spoiled[0][readable], y[readable], estimator=estimator)
    assert report.unreadable.tolist() == unreadable
    reasons = dict(zip(unreadable, report.reasons, strict=True))
    assert "missing.png: there is no such file" in reasons[0]
    assert "004.png: not an image" in reasons[4]
    assert "100.jpg: the image is truncated or damaged" in reasons[100]
    assert report.blank.tolist() == readable[expected.blank].tolist() == [3, 40]
    assert report.copies.tolist() == readable[expected.copies].tolist()
    assert [members.tolist() for members in report.label_conflicts] == [
        readable[members].tolist() for members in expected.label_conflicts
    ]
    assert report.label_errors.tolist() == readable[expected.label_errors].tolist()
    np.testing.assert_allclose(report.confidence, expected.confidence)
    assert np.isnan(report.y_proba[unreadable]).all()
    assert not report.mask()[unreadable].any()
    assert (report.groups[unreadable] == -1).all()


def test_the_report_shows_files_that_cannot_be_read(damaged, spoiled):
    paths, y, unreadable = damaged
    report = audit_dataset(paths, y, label_errors=False)
    text = str(report)
    assert text.startswith("280 images: 3 images that cannot be read, 2 blank images")
    assert "100.jpg: the image is truncated or damaged" in text
    table = report.to_frame()
    assert table.loc[table.problem == "unreadable", "index"].tolist() == unreadable
    assert [row["index"] for row in report.to_dict()["unreadable"]] == unreadable
    assert "cannot be read" not in str(audit_dataset(*spoiled[:2], label_errors=False))


def test_an_audit_of_nothing_but_unreadable_files_is_an_error(tmp_path):
    with pytest.raises(ImageReadError, match=r"None of 2 photos can be read; the first: .*a\.png"):
        audit_dataset([tmp_path / "a.png", tmp_path / "b.png"], ["sad", "happy"])
