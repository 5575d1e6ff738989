"""The network inside an estimator, and the pixels that reach it."""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from ..inference import ExportedClassifier, LiteRTClassifier

__all__ = ["find_network", "unwrapped"]

_EXPECTED = (
    "a fitted FERCNNClassifier, or a Pipeline, a search, a CalibratedClassifierCV of a "
    "FrozenEstimator or an AbstainingClassifier with one inside"
)


def find_network(estimator, X):
    """Open what is wrapped around a network, and let the steps before it transform `X`.

    Parameters
    ----------
    estimator : fitted estimator
    X : batch of images or photos
        Whatever `estimator` takes.

    Returns
    -------
    classifier : FERCNNClassifier
    X : batch of images
        What `classifier` takes.

    Raises
    ------
    TypeError
        If there is no network of Keras's inside, or several.
    """
    while True:
        if isinstance(estimator, Pipeline):
            for _, step in estimator.steps[:-1]:
                X = X if step in (None, "passthrough") else step.transform(X)
            estimator = estimator.steps[-1][1]
            continue
        inner = unwrapped(estimator)
        if inner is None:
            return _checked(estimator), X
        estimator = inner


def unwrapped(estimator):
    """Return the fitted estimator that this one is wrapped around, None if it is none such.

    Raises
    ------
    TypeError
        For a CalibratedClassifierCV of several fitted estimators.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator
    if isinstance(estimator, CalibratedClassifierCV):
        return _calibrated(estimator)
    for name in ("best_estimator_", "estimator_"):
        if hasattr(estimator, name):
            return getattr(estimator, name)
    return None


def _calibrated(estimator):
    inner = [fitted.estimator for fitted in getattr(estimator, "calibrated_classifiers_", [])]
    if len(inner) == 1:
        return inner[0]
    raise TypeError(
        f"estimator is a CalibratedClassifierCV of {len(inner)} fitted estimators, of which one "
        f"alone can be explained. Calibrate with ensemble=False, or around a fitted one: "
        f"CalibratedClassifierCV(FrozenEstimator(fitted)); or use occlusion_map, which asks for "
        f"probabilities alone."
    )


def _checked(classifier):
    name = type(classifier).__name__
    if isinstance(classifier, (LiteRTClassifier, ExportedClassifier)):
        raise TypeError(
            f"estimator computes with a {name}, whose runtime gives no gradients. Use the same "
            f"network in Keras, such as load_pretrained(runtime='keras'), or occlusion_map, "
            f"which asks for probabilities alone."
        )
    from ..cnn import FERCNNClassifier  # loads Keras, which the refusals above do without

    if not isinstance(classifier, FERCNNClassifier):
        raise TypeError(
            f"estimator ends in a {name}; expected {_EXPECTED}. For any other classifier use "
            f"occlusion_map or region_importance, which ask for probabilities alone."
        )
    return classifier
