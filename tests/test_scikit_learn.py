"""Tables, feature names and metadata, combined as in scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, train_test_split
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.metadata_routing import MetadataRouter

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
    audit_dataset,
    load_pretrained,
    make_cnn_pipeline,
    make_descriptor_svm_pipeline,
    make_hog_svm_pipeline,
)
from fer_sklearn._utils.estimators import split_pipeline
from fer_sklearn.explain import hog_image, hog_weights
from fer_sklearn.images import write_image

pd = pytest.importorskip("pandas")

# The middle of each photo is its face.
MIDDLE = FaceCropper(detector=lambda image: [[8, 8, 32, 32]])
SMALL_HOG = HOGExtractor(pixels_per_cell=16, cells_per_block=1)
SMALL_CODEBOOK = CodebookExtractor(n_codewords=8, grid=2, n_patches=1000)
SMALL_UNION = [("hog", SMALL_HOG), ("codebook", SMALL_CODEBOOK)]

TRANSFORMERS = {
    "resizer": GrayscaleResizer(),
    "resizer, no square": GrayscaleResizer((40, 32)),
    "cropper": MIDDLE,
    "normalizer": PixelNormalizer(),
    "hog": SMALL_HOG,
    "lbp": LBPExtractor(grid=2),
    "codebook": SMALL_CODEBOOK,
    "mirrored": MirroredFeatures(SMALL_HOG),
    "mirrored pipeline": MirroredFeatures(make_pipeline(SMALL_HOG, BalancedPCA(n_components=4))),
    "capped": make_pipeline(SMALL_HOG, CappedPCA(n_components=5)),
    "not capped": make_pipeline(SMALL_HOG, CappedPCA(n_components=None)),
    "balanced": make_pipeline(SMALL_HOG, BalancedPCA(n_components=5)),
    "union": FeatureUnion([("hog", SMALL_HOG), ("lbp", LBPExtractor(grid=1))]),
    "no square, hog": make_pipeline(GrayscaleResizer((48, 32)), SMALL_HOG),
    "hog pipeline": make_hog_svm_pipeline()[:-1],
    "hog pipeline with faces": make_hog_svm_pipeline(crop_faces=MIDDLE)[:-1],
    "descriptor pipeline": make_descriptor_svm_pipeline(descriptors=SMALL_UNION)[:-1],
    "cnn pipeline": make_cnn_pipeline(size=24)[:-1],
    "cnn pipeline with faces": make_cnn_pipeline(crop_faces=MIDDLE)[:-1],
}


@pytest.fixture(scope="module")
def album(faces, tmp_path_factory):
    """A table of 70 shuffled photos: path, age (its number), label; and the images by number."""
    X, y = faces
    folder = tmp_path_factory.mktemp("album")
    for number, image in enumerate(X):
        write_image(folder / f"{number}.png", image)
    paths = [str(folder / f"{number}.png") for number in range(len(X))]
    table = pd.DataFrame({"path": paths, "age": np.arange(len(X), dtype=float), "label": y})
    return table.sample(frac=1, random_state=0), X


def photo_columns(image_steps):
    return ColumnTransformer(
        [("photo", clone(image_steps), "path"), ("number", "passthrough", ["age"])]
    )


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("how", ["set_output", "configuration"])
def test_a_table_has_the_numbers_of_the_array(faces, name, container, how):
    library = pytest.importorskip(container)
    X, y = faces
    expected = clone(TRANSFORMERS[name]).fit_transform(X, y)
    if name == "cropper":
        expected = np.repeat(expected[..., np.newaxis], 3, axis=3)  # always in colour
    transformer = clone(TRANSFORMERS[name])
    if how == "set_output":
        table = transformer.set_output(transform=container).fit_transform(X, y)
        again = transformer.transform(X)
    else:
        with config_context(transform_output=container):
            table = transformer.fit_transform(X, y)
            again = transformer.transform(X)
    assert isinstance(table, library.DataFrame)
    assert_allclose(table.to_numpy(), expected.reshape(len(X), -1), atol=1e-5)
    assert table.to_numpy().dtype == expected.dtype
    assert_allclose(again.to_numpy(), table.to_numpy(), atol=1e-5)
    assert list(table.columns) == transformer.get_feature_names_out().tolist()


def _takes_paths(transformer):
    first = transformer[0] if isinstance(transformer, Pipeline) else transformer
    return isinstance(first, (GrayscaleResizer, FaceCropper))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_table_has_the_index_of_its_input(album, name):
    table, _ = album
    pipeline = clone(TRANSFORMERS[name])
    if not _takes_paths(pipeline):
        pipeline = make_pipeline(GrayscaleResizer(), pipeline)
    pipeline.set_output(transform="pandas")
    for column in (table["path"], table[["path"]]):
        transformed = pipeline.fit_transform(column, table["label"])
        assert_array_equal(transformed.index, table.index)
        assert_array_equal(pipeline.transform(column[:5]).index, table.index[:5])


def test_a_series_of_images_keeps_its_index(album):
    table, X = album
    images = pd.Series(list(X[table["age"].astype(int)]), index=table.index)
    hog = clone(SMALL_HOG)
    pipeline = make_pipeline(GrayscaleResizer(), hog).set_output(transform="pandas")
    expected = clone(SMALL_HOG).fit_transform(X)
    for transformer in (pipeline, hog):
        found = transformer.fit_transform(images)
        assert_array_equal(found.index, table.index)
        assert_array_equal(found.sort_index().to_numpy(), expected)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize(
    "steps", [GrayscaleResizer((24, 20)), make_pipeline(GrayscaleResizer(24), PixelNormalizer())]
)
def test_pixels_and_numbers_can_share_a_table(album, container, steps):
    pytest.importorskip(container)
    table, X = album
    columns = photo_columns(steps).set_output(transform=container)
    out = columns.fit_transform(table)
    numbers = table["age"].to_numpy().astype(int)
    assert_array_equal(out["number__age"], numbers)
    assert out.columns[0] == "photo__pixel_0_0"
    expected = clone(steps).fit_transform(X[numbers])
    assert_array_equal(out.to_numpy()[:, :-1], expected.reshape(len(X), -1))


@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
@pytest.mark.parametrize(
    "steps",
    [
        make_pipeline(GrayscaleResizer(), SMALL_HOG),
        make_pipeline(GrayscaleResizer(), MirroredFeatures(SMALL_HOG)),
    ],
    ids=["hog", "mirrored"],
)
def test_photos_stay_aligned_with_numbers(album, container, steps):
    if container != "default":
        pytest.importorskip(container)
    table, X = album
    expected = clone(steps).fit_transform(X).reshape(len(X), -1)
    columns = photo_columns(steps).set_output(transform=container)
    fitted = columns.fit(table)
    for part in (table, table[:20], table[::-1]):
        out = fitted.transform(part)
        if container == "pandas":
            assert_array_equal(out.index, part.index)
        if container != "default":
            assert list(out.columns) == fitted.get_feature_names_out().tolist()
            out = out.to_numpy()
        numbers = part["age"].to_numpy().astype(int)
        assert_array_equal(out[:, -1], numbers)
        assert_allclose(out[:, :-1], expected[numbers], atol=1e-6)


@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
def test_photos_with_numbers_are_classified_alike(album, container):
    if container != "default":
        pytest.importorskip(container)
    table, _ = album
    train, test = train_test_split(table, random_state=0, stratify=table["label"])
    columns = ColumnTransformer(
        [
            ("photo", make_pipeline(GrayscaleResizer(), SMALL_HOG), "path"),
            ("number", StandardScaler(), ["age"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression())
    expected = clone(model).fit(train, train["label"]).predict_proba(test)
    with config_context(transform_output=container):
        found = model.fit(train, train["label"]).predict_proba(test)
        assert_allclose(found, expected, atol=1e-5)
        shuffled = test.sample(frac=1, random_state=1)
        order = [test.index.get_loc(i) for i in shuffled.index]
        assert_allclose(model.predict_proba(shuffled), expected[order], atol=1e-5)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize(
    "make",
    [
        make_hog_svm_pipeline,
        lambda: make_hog_svm_pipeline(crop_faces=MIDDLE, size=(48, 40)),
        lambda: make_descriptor_svm_pipeline(descriptors=SMALL_UNION),
        lambda: make_cnn_pipeline(FERCNNClassifier(epochs=1, random_state=0), size=24),
    ],
    ids=["hog", "hog of faces", "descriptors", "cnn"],
)
@pytest.mark.filterwarnings("error:X ")
def test_classifiers_predict_the_same_under_any_output_setting(faces, container, make):
    pytest.importorskip(container)
    X, y = faces
    expected = make().fit(X, y)
    method = "predict_proba" if hasattr(expected, "predict_proba") else "decision_function"
    with config_context(transform_output=container):
        model = make().fit(X, y)
        labels, found = model.predict(X), getattr(model, method)(X)
    assert_array_equal(labels, expected.predict(X))
    assert_allclose(found, getattr(expected, method)(X), atol=1e-3)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("crop_faces", [False, MIDDLE])
@pytest.mark.filterwarnings("error:X ")
def test_pretrained_pipelines_work_under_any_output_setting(faces, container, crop_faces):
    pytest.importorskip(container)
    model = load_pretrained("tiny", runtime="litert", crop_faces=crop_faces)
    expected = model.predict_proba(faces[0])
    with config_context(transform_output=container):
        assert_array_equal(model.predict_proba(faces[0]), expected)
    names = model[:-1].get_feature_names_out()
    assert names[12 * 48 + 40] == "pixel_12_40"


def test_output_settings_are_cloned_and_set_back():
    resizer = clone(GrayscaleResizer(2).set_output(transform="pandas"))
    images = np.zeros((1, 2, 2), np.uint8)
    assert resizer.set_output().transform(images).columns.tolist() == [
        *("pixel_0_0", "pixel_0_1"),
        *("pixel_1_0", "pixel_1_1"),
    ]
    assert resizer.set_output(transform="default").transform(images).shape == (1, 2, 2)
    with pytest.raises(ValueError, match=r"output config must be in.*, got images"):
        resizer.set_output(transform="images").transform(images)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_a_table_of_pixels_becomes_images_again(shape, container):
    library = pytest.importorskip(container)
    axis = {"axis": 1} if container == "pandas" else {}
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    names = [f"pixel_{r}_{c}" for r in range(5) for c in range(7)]
    if len(shape) == 3:
        names = [f"{name}_{colour}" for name in names for colour in ("red", "green", "blue")]
    for prefix in ("", "photo__"):
        table = library.DataFrame(
            {f"{prefix}{name}": images.reshape(4, -1)[:, i] for i, name in enumerate(names)}
        )
        for size in ((5, 7), (10, 10)):
            expected = GrayscaleResizer(size).transform(images)
            assert_array_equal(GrayscaleResizer(size).transform(table), expected)
        if len(shape) == 2:
            fitted = LBPExtractor(grid=1).fit(table)
            assert fitted.image_shape_ == shape
            assert_array_equal(fitted.transform(table), fitted.transform(images))
    with pytest.raises(ValueError, match=r"rows of \d+ pixels are not square images"):
        GrayscaleResizer().fit(table.drop(table.columns[0], **axis))  # one is missing


def test_pixels_are_named_after_columns_or_positions():
    images = np.zeros((2, 3, 4), np.uint8)
    normalizer = PixelNormalizer().fit(images)
    assert normalizer.get_feature_names_out()[-1] == "pixel_2_3"
    assert normalizer.get_feature_names_out([f"a{i}" for i in range(12)])[-1] == "a11"
    table = pd.DataFrame({"a": [0, 1], "b": [2, 3], "c": [4, 5], "d": [6, 7]}, index=[7, 3])
    normalizer.set_output(transform="pandas")
    assert normalizer.fit_transform(table).columns.tolist() == ["a", "b", "c", "d"]
    assert normalizer.get_feature_names_out().tolist() == ["a", "b", "c", "d"]
    assert normalizer.transform(table).index.tolist() == [7, 3]


@pytest.mark.parametrize("colour", [False, True])
def test_an_audit_does_not_depend_on_the_configured_output(faces, colour):
    X, y = faces
    photos = [np.dstack([image] * 3) for image in X] if colour else X
    estimator = make_hog_svm_pipeline(LSSVMClassifier(probability=True), n_components=None)
    expected = audit_dataset(photos, y, estimator=estimator)
    with config_context(transform_output="pandas"):
        found = audit_dataset(photos, y, estimator=estimator)
    assert str(found) == str(expected)


def test_explanations_do_not_depend_on_the_configured_output(faces):
    X, y = faces
    pipeline = make_hog_svm_pipeline(HOGSVMClassifier(kernel="linear", random_state=0))
    expected = hog_weights(clone(pipeline).fit(X, y)).positive_weights
    picture = hog_image(X[:2], hog=clone(pipeline).fit(X, y))
    with config_context(transform_output="pandas"):
        fitted = clone(pipeline).fit(X, y)
        assert_allclose(hog_weights(fitted).positive_weights, expected, atol=1e-5)
        assert_array_equal(hog_image(X[:2], hog=fitted), picture)


# -- metadata ------------------------------------------------------------------------------


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


class Recording(ClassifierMixin, BaseEstimator):
    """Keeps what `fit` received."""

    def fit(self, X, y, sample_weight=None, soft_targets=None):
        self.classes_ = np.unique(y)
        self.received_ = {"sample_weight": sample_weight, "soft_targets": soft_targets}
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return self.classes_[np.zeros(len(X), int)]


@pytest.fixture
def weighted(faces):
    X, y = faces
    return X, y, np.linspace(0.5, 1.5, len(X)), np.eye(7)[np.unique(y, return_inverse=True)[1]]


@pytest.mark.parametrize(
    "make",
    [
        lambda c: make_hog_svm_pipeline(c),
        lambda c: make_descriptor_svm_pipeline(c, descriptors=[("lbp", LBPExtractor(grid=1))]),
        lambda c: make_cnn_pipeline(c, size=12),
        lambda c: AbstainingClassifier(c, threshold=0.2),
        lambda c: AbstainingClassifier(c, coverage=0.5, cv=2),
        lambda c: make_hog_svm_pipeline(AbstainingClassifier(c, coverage=0.5, cv=2)),
        lambda c: AbstainingClassifier(make_cnn_pipeline(c, size=12), threshold=0.2),
    ],
)
def test_metadata_reaches_the_classifier_that_requests_it(routing, weighted, make):
    X, y, weight, soft_targets = weighted
    asking = Recording().set_fit_request(sample_weight=True, soft_targets=True)
    model = make(asking).fit(X, y, sample_weight=weight, soft_targets=soft_targets)
    received = split_pipeline(model)[1].received_
    assert_array_equal(received["sample_weight"], weight)
    assert_array_equal(received["soft_targets"], soft_targets)

    declining = Recording().set_fit_request(sample_weight=False)
    with pytest.raises(TypeError, match=r"unexpected argument.*'sample_weight'"):
        make(declining).fit(X, y, sample_weight=weight)
    with pytest.raises(UnsetMetadataPassedError, match=r"sample_weight.*not explicitly set"):
        make(Recording()).fit(X, y, sample_weight=weight)
    with pytest.raises(TypeError, match=r"unexpected argument.*'sample_weights'"):
        make(asking).fit(X, y, sample_weights=weight)


def test_folds_get_their_part_of_the_metadata_and_the_groups(routing, weighted):
    X, y, weight, _ = weighted
    groups = np.arange(len(X)) // 7
    seen = []

    class Splitter(StratifiedGroupKFold):
        def split(self, X, y=None, groups=None):
            seen.append(groups)
            return super().split(X, y, groups)

    class Checking(Recording):
        def fit(self, X, y, sample_weight=None):
            assert len(sample_weight) == len(X)
            seen.append(np.isin(sample_weight, weight).all())
            return super().fit(X, y, sample_weight)

    asking = Checking().set_fit_request(sample_weight=True)
    model = AbstainingClassifier(asking, coverage=0.5, cv=Splitter(2))
    model.fit(X.reshape(len(X), -1), y, sample_weight=weight, groups=groups)
    assert_array_equal(seen[0], groups)
    assert seen[1:] == [True] * 3


def test_a_search_routes_to_an_abstaining_classifier(routing, weighted):
    X, y, weight, _ = weighted
    features = SMALL_HOG.fit_transform(X)
    inner = LSSVMClassifier(probability=True).set_fit_request(sample_weight=True)
    model = AbstainingClassifier(inner, threshold=0.5)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        GridSearchCV(model, {"threshold": [0.2, 0.5]}, cv=2, scoring="accuracy").fit(
            features, y, sample_weight=weight
        )
    model.set_score_request(sample_weight=True)
    search = GridSearchCV(model, {"threshold": [0.2, 0.9999]}, cv=2, error_score="raise")
    search.fit(features, y, sample_weight=weight)
    assert search.best_params_ == {"threshold": 0.2}
    assert isinstance(model.get_metadata_routing(), MetadataRouter)


@pytest.mark.slow
def test_a_network_gets_its_soft_targets_in_a_search(routing, small_faces):
    X, y = (part[:70] for part in small_faces)
    soft_targets = np.eye(7)[np.unique(y, return_inverse=True)[1]]
    network = FERCNNClassifier(epochs=1, random_state=0)
    with pytest.raises(UnsetMetadataPassedError, match="soft_targets"):
        GridSearchCV(network, {"epochs": [1]}, cv=2).fit(X, y, soft_targets=soft_targets)
    network.set_fit_request(soft_targets=True, sample_weight=True).set_score_request(
        sample_weight=False
    )
    search = GridSearchCV(network, {"epochs": [1]}, cv=2, error_score="raise")
    search.fit(X, y, soft_targets=soft_targets, sample_weight=np.ones(70))
    assert 0 <= search.best_score_ <= 1


@pytest.mark.parametrize("make", [GrayscaleResizer, lambda: FaceEmbedder("tiny"), RGBResizer])
def test_pixels_in_columns_must_be_in_the_order_of_fit(faces, make):
    table = pd.DataFrame(faces[0][:3].reshape(3, -1)).add_prefix("p")
    transformer = make().fit(table)
    assert_array_equal(transformer.transform(table.to_numpy()), transformer.transform(table))
    with pytest.raises(ValueError, match=r"column 'p2303' where .* was fitted with 'p0'"):
        transformer.transform(table[table.columns[::-1]])
    assert not hasattr(transformer.fit(faces[0]), "feature_names_in_")
