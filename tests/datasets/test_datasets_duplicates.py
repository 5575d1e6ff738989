import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from fer_sklearn import duplicate_groups, duplicate_report, make_faces
from fer_sklearn.images import write_image

FACES = make_faces(7, random_state=0)


@pytest.mark.parametrize("form", ["stack", "flat", "list", "object", "colour", "strided"])
def test_groups_of_every_form(form):
    images = FACES.images[[4, 2, 4, 0, 2, 4]]
    given = {
        "stack": images,
        "flat": images.reshape(6, -1),
        "list": list(images),
        "object": np.array([*images, None], dtype=object)[:-1],
        "colour": np.repeat(images[..., None], 3, axis=3),
        "strided": images[:, ::2, ::2],
    }[form]
    assert duplicate_groups(given).tolist() == [0, 1, 0, 2, 1, 0]


def test_one_pixel_makes_a_difference():
    images = FACES.images[[0, 0]].copy()
    images[1, 47, 47] ^= 1
    assert duplicate_groups(images).tolist() == [0, 1]


def test_same_bytes_of_another_size_differ():
    assert duplicate_groups([np.zeros((4, 6)), np.zeros((6, 4))]).tolist() == [0, 1]


def test_groups_of_files(tmp_path):
    write_image(tmp_path / "1.png", FACES.images[0])
    write_image(tmp_path / "2.png", FACES.images[1])
    paths = [tmp_path / "2.png", str(tmp_path / "1.png"), tmp_path / "2.png"]
    assert duplicate_groups(paths).tolist() == [0, 1, 0]


def test_groups_keep_copies_in_one_fold():
    images = np.concatenate([FACES.images] * 4)
    groups = duplicate_groups(images)
    y = np.tile(["a", "b", "a", "b", "a", "b", "a"], 4)
    for train, test in StratifiedGroupKFold(2).split(images, y, groups):
        assert not set(groups[train]) & set(groups[test])


def test_empty_batch():
    with pytest.raises(ValueError, match=r"images is empty: found 0 photo\(s\)"):
        duplicate_groups([])


def test_report():
    images = FACES.images[[0, 0, 0, 1, 1, 2, 0, 3, 3]]
    target = list("aabccdaef")
    subset = ["train"] * 6 + ["public"] * 3
    report = duplicate_report(images, target, subset)
    assert report.n_images == {"train": 6, "public": 3}
    assert report.copies == {"train": 3, "public": 1}
    assert report.label_conflicts == {"train": 1, "public": 1}
    assert report.shared == {("train", "public"): 3, ("public", "train"): 1}
    assert report.groups.tolist() == [0, 0, 0, 1, 1, 2, 0, 3, 3]
    assert "public in train: 1 of 3 images (33.3%)" in str(report)


def test_report_without_labels_and_subsets():
    report = duplicate_report(FACES.images[[0, 1, 0]])
    assert str(report) == "all: 3 images, 1 copies of others"
    assert report.label_conflicts == {}


@pytest.mark.parametrize("name", ["y", "subset"])
def test_report_of_other_lengths(name):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[7, 6\]"):
        duplicate_report(FACES.images, **{name: ["a"] * 6})


@pytest.mark.parametrize("name", ["y", "subset"])
@pytest.mark.parametrize("missing", [np.nan, None])
def test_report_of_missing_values(name, missing):
    values = np.array(["a", "b", missing], dtype=object)
    with pytest.raises(ValueError, match=rf"{name}\[2\] is {missing}, which is not a label"):
        duplicate_report(FACES.images[:3], **{name: values})
