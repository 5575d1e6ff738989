"""Save a fitted estimator with its model card to one file, and load it without running its code.

The file is a zip archive of JSON and NumPy arrays; no part of it is a pickle.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .._utils.files import atomic_write, check_writable
from .._utils.typing import Estimator, PathLike
from ..exceptions import ModelFileError
from ._archive import archive_bytes, current_versions, read_archive
from ._card import card_lines as card_lines  # for the command line
from ._card import complete_card, describe_data, model_card, read_card
from ._estimator import pack, unpack

__all__ = ["describe_data", "load", "model_card", "read_card", "save"]


def save(
    estimator: Estimator,
    path: PathLike,
    *,
    card: Mapping[str, Any] | None = None,
    compress: int = 1,
) -> Path:
    """Save an estimator, and its model card, to a file that is safe to load.

    The file, usually with the suffix ``.fer``, is a zip archive of JSON and NumPy arrays, without
    pickle. It ends in a checksum of all its bytes. It is written under another name next to `path`
    and then renamed, so that `path` always contains a complete model, the old or the new one.

    Parameters
    ----------
    estimator : estimator object
        Usually fitted: a pipeline, or a single estimator. Of a search, save ``best_estimator_``.
    path : str or Path
        The file; an existing one is replaced. Its folder must exist.
    card : mapping or None, default=None
        Additional information for the model card; see :func:`model_card`.
    compress : int, default=1
        Compression level, from 0 (fast and large) to 9 (slow and small).

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    TypeError
        If `estimator` is not an estimator, or a part of it cannot be written without pickle, such
        as a lambda function or an instance of a Keras optimizer. The message names the part;
        nothing is written.
    ValueError
        If `card` has an unknown entry, or `compress` is out of range.
    FileNotFoundError
        If the folder of `path` does not exist.
    IsADirectoryError
        If `path` is a folder.

    See Also
    --------
    load : Load it again.
    model_card : The model card as a page.

    Notes
    -----
    Folders on this computer are not saved: `memory` of a pipeline, and `checkpoint_dir` of a
    network, are None after loading. Paths become text. The state of the optimizer is saved only
    with ``save_optimizer=True``.

    Your own functions and classes are saved by name. :func:`load` imports them only if you name
    them there.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.dummy import DummyClassifier
    >>> from fer_sklearn import load, save
    >>> model = DummyClassifier(strategy="constant", constant="happy").fit([[0]], ["happy"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(model, f"{folder}/model.fer", card={"license": "mit"})
    ...     load(path).predict([[1]]).tolist()
    ['happy']
    """
    _check_estimator(estimator)
    if not isinstance(compress, int) or not 0 <= compress <= 9:
        raise ValueError(f"compress={compress!r} is out of range; expected an integer from 0 to 9.")
    path = check_writable(path)
    versions = current_versions()
    described = complete_card(estimator, card, versions)
    parts = {"card.json": json.dumps(described, indent=1).encode(), **pack(estimator)}
    content = archive_bytes(parts, versions, compress=compress)
    with atomic_write(path) as file:
        file.write(content)
    return path


def load(path: PathLike, *, trusted: Iterable[str | type] = ()) -> Any:
    """Load an estimator that :func:`save` wrote.

    The file is checked first: a single flipped bit raises an error. Only types of this package and
    those that skops trusts by default are built: estimators of scikit-learn, except for those with
    trees, and NumPy's arrays. So a file from a stranger cannot run code.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : iterable of str or type, default=()
        Other types, functions and layers to build, such as ``["my_layers.Attention"]``. Anything
        else in the file is refused, and listed in the error.

    Returns
    -------
    estimator object

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is damaged, truncated, malicious, in another format, or contains anything that
        is not trusted. This is a ``ValueError``.
    ImportError, AttributeError
        If the model uses your own code, which cannot be imported here.

    Warns
    -----
    UserWarning
        If the file was written with another minor version of scikit-learn or of this package.

    See Also
    --------
    save : Write such a file.
    fer_sklearn.persistence.read_card : Read its model card only.

    Notes
    -----
    Loading a model is safe, but using it means trusting whoever trained it: nothing checks what it
    predicts. A network may be so large that it exhausts memory when it predicts, and a model may
    name a file on your computer that it then reads, such as the weights of a
    :class:`~fer_sklearn.FaceEmbedder`.
    """
    path = Path(path)
    names = _names(trusted)
    parts, manifest = read_archive(path)
    _warn_of_other_versions(manifest["versions"], path)
    try:
        estimator = unpack(parts, trusted=names)
    except ModelFileError as error:
        raise ModelFileError(f"path={str(path)!r} {error}") from error.__cause__
    except MemoryError:
        raise
    except Exception as error:  # skops's errors for what it cannot build have no common type
        if names and isinstance(error, (ImportError, AttributeError)):
            raise  # the file is fine: code is missing here, and the error says which
        raise ModelFileError(
            f"path={str(path)!r} contains no estimator that can be built "
            f"({type(error).__name__}: {error})."
        ) from error
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise ModelFileError(
            f"path={str(path)!r} contains an object of type {type(estimator).__name__}; expected "
            f"an estimator."
        )
    return estimator


def _check_estimator(estimator):
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        shown = estimator.__name__ if isinstance(estimator, type) else repr(estimator)
        raise TypeError(f"estimator={shown} is not an estimator instance; pass a fitted model.")


def _names(trusted):
    if isinstance(trusted, (str, bytes, bool)) or trusted is None:
        raise TypeError(
            f"trusted={trusted!r} is not a list; expected names such as ['my_layers.Attention']."
        )
    return [
        f"{item.__module__}.{item.__name__}" if hasattr(item, "__name__") else item
        for item in trusted
    ]


def _warn_of_other_versions(saved, path):
    here = current_versions()
    others = [
        f"{name} {saved[name]} (here {here[name]})"
        for name in ("fer_sklearn", "scikit-learn")
        if name in saved and saved[name].split(".")[:2] != here[name].split(".")[:2]
    ]
    if others:
        warnings.warn(
            f"{str(path)!r} was saved with {' and '.join(others)}. It may fail to "
            f"load or give different predictions; install those versions or retrain it.",
            stacklevel=3,
        )
