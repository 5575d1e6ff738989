"""What the machines of this folder have in common."""

import numpy as np

__all__ = ["check_several_classes", "is_probabilistic", "kernel_coefficient"]


def is_probabilistic(classifier):
    """Tell, for ``available_if``, whether a classifier was told to give probabilities."""
    if classifier.probability:
        return True
    raise AttributeError(
        "predict_proba is not available with probability=False. Set probability=True before "
        "fit, which then takes longer."
    )


def check_several_classes(classes):
    """Refuse labels of one class."""
    if len(classes) < 2:
        raise ValueError(
            f"y has one class, {classes.tolist()[0]!r}; expected two classes or more. Check the "
            f"labels, and that the subset you fit on is shuffled or stratified."
        )


def kernel_coefficient(gamma, features, weight):
    """Return the coefficient of the Gaussian kernel that `gamma` stands for on these features.

    Parameters
    ----------
    gamma : {"scale", "2*scale"} or float
        ``"scale"`` is one over the total variance, as in ``sklearn.svm.SVC``.
    features : ndarray of shape (n, n_features)
    weight : ndarray of shape (n,)
        Weight 2 is the same as a copy.

    Returns
    -------
    float
    """
    if not isinstance(gamma, str):
        return float(gamma)
    mean = np.average(features, weights=weight, axis=0).mean()
    variance = np.average(np.square(features - mean), weights=weight, axis=0).mean()
    scale = 1 / (features.shape[1] * variance) if variance > 0 else 1.0
    return float(2 * scale if gamma == "2*scale" else scale)
