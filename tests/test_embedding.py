"""FaceEmbedder: vectors of faces for any scikit-learn estimator."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fer_sklearn import FaceEmbedder, load_pretrained
from fer_sklearn._utils.litert import RowCache
from fer_sklearn.images import write_image
from fer_sklearn.weights import WeightsNetwork, read_weights, write_weights


@pytest.fixture
def calls(monkeypatch):
    """The number of images that networks were computed for, one entry per call."""
    numbers = []
    embed = WeightsNetwork._embed

    def counted(self, images):
        numbers.append(len(images))
        return embed(self, images)

    monkeypatch.setattr(WeightsNetwork, "_embed", counted)
    monkeypatch.setattr("fer_sklearn.weights._EMBEDDINGS", RowCache(2**24))
    return numbers


@pytest.mark.parametrize(("name", "n_features"), [("default", 256), ("tiny", 128)])
def test_two_dimensional_output_with_named_features(name, n_features, faces):
    embedder = FaceEmbedder(name)
    embedded = embedder.fit_transform(faces[0])
    assert (embedded.shape, embedded.dtype) == ((70, n_features), np.float32)
    names = embedder.get_feature_names_out()
    assert [names[0], names[-1]] == [f"{name}_000", f"{name}_{n_features - 1}"]
    frame = embedder.set_output(transform="pandas").transform(faces[0])
    assert frame.columns.tolist() == names.tolist()
    polars = embedder.set_output(transform="polars").transform(faces[0])
    np.testing.assert_array_equal(polars.to_numpy(), embedded)


def test_it_is_what_the_heads_of_the_network_take(faces):
    """The probabilities of the bundled model follow from the embedding and its head."""
    X, _ = faces
    kernel, bias = read_weights("tiny").arrays[-2:]
    logits = FaceEmbedder("tiny", test_time_augmentation=False).transform(X) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    model = load_pretrained("tiny", runtime="litert")
    model.set_params(classifier__test_time_augmentation=False)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=0.05)  # computed in integers


def test_mirror_images_have_one_embedding(faces):
    X, _ = faces
    embedder = FaceEmbedder("tiny")
    mirrored = embedder.transform(X[:, :, ::-1])
    np.testing.assert_allclose(mirrored, embedder.transform(X), atol=1e-6)
    plain = FaceEmbedder("tiny", test_time_augmentation=False)
    assert abs(plain.transform(X) - plain.transform(X[:, :, ::-1])).max() > 0.01


def test_faces_of_any_kind(faces, tmp_path):
    X = faces[0][:3]
    embedder = FaceEmbedder("tiny")
    expected = embedder.transform(X)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, X, strict=True):
        write_image(path, image)
    colour = [np.stack([image] * 3, axis=2) for image in X]
    for same in (paths, colour, X / 255, X[..., np.newaxis], X.reshape(3, -1)):
        np.testing.assert_allclose(embedder.transform(same), expected, atol=1e-5)


def test_one_photo_without_the_batch_axis_is_refused(faces):
    with pytest.raises(ValueError, match="one image"):
        FaceEmbedder("tiny").transform(faces[0][0])


def test_negative_pixels_are_rejected(faces):
    with pytest.raises(ValueError, match="from -255 to -0; expected"):
        FaceEmbedder("tiny").transform(-faces[0].astype(float))


def test_clones_and_pickles(faces):
    X, _ = faces
    embedder = FaceEmbedder("tiny", n_threads=1).fit(X)
    expected = embedder.transform(X)
    for same in (clone(embedder), pickle.loads(pickle.dumps(embedder))):
        np.testing.assert_array_equal(same.transform(X), expected)
    assert len(pickle.dumps(embedder)) < 1000


def test_a_search_computes_each_image_once(calls, faces):
    model = make_pipeline(FaceEmbedder("tiny"), StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": [0.01, 0.1, 1]}
    GridSearchCV(model, grid, cv=3).fit(*faces)
    assert sum(calls) == 2 * len(faces[0])  # and its mirror image


def test_without_the_cache_each_call_computes(calls, faces):
    embedder = FaceEmbedder("tiny", cache=False)
    np.testing.assert_array_equal(embedder.transform(faces[0]), embedder.transform(faces[0]))
    assert sum(calls) == 4 * len(faces[0])


def test_networks_do_not_share_rows(faces):
    first = FaceEmbedder("default").transform(faces[0])
    FaceEmbedder("tiny").transform(faces[0])
    np.testing.assert_array_equal(FaceEmbedder("default", cache=False).transform(faces[0]), first)


def test_threads_share_the_cache(faces):
    X, _ = faces
    expected = FaceEmbedder("tiny", cache=False, n_threads=1).transform(X)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(FaceEmbedder("tiny", n_threads=1).transform, [X] * 4))
    for embedded in found:
        np.testing.assert_array_equal(embedded, expected)


def test_the_cache_drops_the_least_recently_used_rows():
    def double(images):
        computed.append(images.ravel().tolist())
        return 2 * images.reshape(len(images), 1)

    def look_up(*values):
        images = np.array(values, np.float32).reshape(-1, 1, 1, 1)
        return cache.compute(b"a", double, images).ravel().tolist()

    computed, cache = [], RowCache(max_bytes=8)  # two rows of one float
    assert look_up(1, 2, 1) == [2, 4, 2]
    assert look_up(1, 3) == [2, 6]
    assert look_up(1) == [2]
    assert look_up(2) == [4]
    assert computed == [[1, 2], [3], [2]]


def test_neighbours_show_the_same_expression(faces):
    X, y = faces
    embedded = FaceEmbedder().fit_transform(X)
    nearest = NearestNeighbors(n_neighbors=2).fit(embedded).kneighbors(return_distance=False)
    assert np.mean(y[nearest[:, 0]] == y) > 0.5


def test_weights_without_embeddings_are_refused(tmp_path):
    weights = read_weights("tiny")
    keys = ("architecture", "image_shape", "classes", "pixel_range")
    path = tmp_path / "own.npz"
    write_weights(path, weights.arrays, {key: weights.description[key] for key in keys})
    with pytest.raises(ValueError, match=r"no LiteRT model that returns embeddings.*'tiny'"):
        FaceEmbedder(path).fit(np.zeros((2, 48, 48)))
    with pytest.raises(ValueError, match=r"no weights named 'tini'.*Did you mean 'tiny'\?"):
        FaceEmbedder("tini").transform(np.zeros((2, 48, 48)))


def test_it_does_not_need_tensorflow():
    code = """
import sys
sys.modules |= dict.fromkeys(["tensorflow", "keras", "scikeras"])  # importing them raises
from fer_sklearn import FaceEmbedder, make_faces

X = make_faces(3, random_state=0).images
assert FaceEmbedder("tiny").fit_transform(X).shape == (3, 128)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
