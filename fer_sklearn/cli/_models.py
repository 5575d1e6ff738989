"""Options for each kind of model, and the pipelines that they describe."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from .._utils.files import is_terminal
from ._output import CommandError, note

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from ..face_reader import FaceReader

__all__ = [
    "ARCHITECTURES",
    "LABEL_SETS",
    "MODEL_HELP",
    "SHIPPED",
    "add_dtype_option",
    "add_labels_option",
    "add_model_options",
    "add_reader_options",
    "build_model",
    "check_model_options",
    "epoch_progress",
    "fraction",
    "load_model",
    "load_reader",
    "model_name",
    "port",
    "positive_int",
    "positive_int_or_auto",
    "positive_seconds",
    "proper_fraction",
    "reject_options",
    "seconds",
    "seed",
]

# Copies: importing the modules that define them would slow down --help.
ARCHITECTURES = (
    "conv3",
    "conv4_dense3",
    "conv4_wide",
    "mini_xception",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "resnet_se",
    "resnet_se_tiny",
    "resnet_se_v2",
    "resnet_se_v2_tiny",
    "resnet_se_wide",
    "vgg_elu",
)
SHIPPED = ("default", "tiny")
LABEL_SETS = ("people", "ferplus", "fer2013")
#: Help on the model argument of every command that reads one.
MODEL_HELP = (
    "a file written by train or tune, a bundled model (default or tiny), or an .npz file of weights"
)

_SVM_OPTIONS = ("C", "kernel", "probability")
_CNN_OPTIONS = (
    *("architecture", "epochs", "batch_size", "learning_rate", "dropout", "augmentation"),
    *("validation_fraction", "early_stopping", "patience", "dtype_policy"),
)
# Options of `--from`; those of epochs only if more than a head is trained.
_FROM_OPTIONS = ("trainable", "head_C")
_EPOCH_OPTIONS = tuple(name for name in _CNN_OPTIONS if name not in ("architecture", "dropout"))


def load_model(name: str, labels: str | None = None, *, runtime: str | None = None) -> Any:
    """Load a bundled model by its name, or a file.

    Parameters
    ----------
    name : str
        The name of bundled weights or an ``.npz`` file, optionally with a label set, as in
        ``"tiny:ferplus"``; or the path of a model file.
    labels : str or None, default=None
        The label set of weights. If None, that in the name, or the first one.
    runtime : str or None, default=None
        The runtime for weights. If None, the one that starts fastest.
    """
    from ..weights import is_weights_file, split_name

    if is_weights_file(name):
        from ..pretrained import fastest_runtime, load_pretrained

        source, own = split_name(name)
        labels = labels or own or LABEL_SETS[0]
        return load_pretrained(str(source), labels=labels, runtime=runtime or fastest_runtime(name))
    if labels is not None:
        raise CommandError(
            f"--labels {labels}: only for the bundled models {' and '.join(SHIPPED)} and .npz "
            f"files; {name} has the labels that it was trained on"
        )
    from ..persistence import load

    try:
        return load(name)
    except FileNotFoundError as error:
        bundled = " or ".join(SHIPPED)
        raise CommandError(f"{str(error).rstrip('.')}, or {bundled} for a bundled one.") from error


def load_reader(name: str, labels: str | None = None, *, detector: str | None = None) -> FaceReader:
    """Load the reader of faces in photos and videos, which starts fast for a bundled model.

    Parameters
    ----------
    name, labels
        As in :func:`load_model`.
    detector : str or None, default=None
        The face detector; None for that of the model.
    """
    from ..face_reader import FaceReader
    from ..weights import is_weights_file, split_name

    if is_weights_file(name):
        source = name if labels is None else f"{split_name(name)[0]}:{labels}"
        return FaceReader(source, detector=detector)
    return FaceReader(load_model(name, labels), detector=detector)


def add_labels_option(parser: argparse.ArgumentParser, *, default: str = "people") -> None:
    """Add ``--labels``; `default` is for the help."""
    parser.add_argument(
        "--labels",
        choices=LABEL_SETS,
        help="what a bundled model predicts: the seven emotions as most people see them, the "
        "eight of FER+ with contempt, or the labels of the FER2013 data set (default: "
        f"{default})",
    )


def add_reader_options(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`load_reader` takes: ``--model``, ``--labels`` and ``--detector``."""
    parser.add_argument(
        "--model", "-m", metavar="MODEL", default="default", help=f"{MODEL_HELP} (default: default)"
    )
    add_labels_option(parser)
    parser.add_argument(
        "--detector",
        choices=("blazeface", "haar", "yunet"),
        help="face detector (default: the one in the model file, or blazeface)",
    )


def positive_int(text: str) -> int:
    """Parse a positive integer on the command line."""
    return _parse(int, text, lambda number: number >= 1, "a whole number above 0")


def positive_int_or_auto(text: str) -> int | str:
    """Parse a positive integer, or ``auto``, on the command line."""
    if text == "auto":
        return text
    return _parse(int, text, lambda number: number >= 1, "a whole number above 0, or auto")


def fraction(text: str) -> float:
    """Parse a number from 0 to 1 on the command line."""
    return _parse(float, text, lambda number: 0 <= number <= 1, "a number from 0 to 1")


def proper_fraction(text: str) -> float:
    """Parse a number of at least 0 and below 1 on the command line."""
    wanted = "a number of at least 0 and below 1"
    return _parse(float, text, lambda number: 0 <= number < 1, wanted)


def seconds(text: str) -> float:
    """Parse a number of seconds on the command line, which may be 0."""
    wanted = "a non-negative number of seconds"
    return _parse(float, text, lambda number: 0 <= number < math.inf, wanted)


def positive_seconds(text: str) -> float:
    """Parse a positive number of seconds on the command line."""
    wanted = "a number of seconds above 0"
    return _parse(float, text, lambda number: 0 < number < math.inf, wanted)


def seed(text: str) -> int:
    """Parse a random seed on the command line."""
    wanted = "a whole number from 0 to 4294967295"
    return _parse(int, text, lambda number: 0 <= number < 2**32, wanted)


def port(text: str) -> int:
    """Parse the number of a port on the command line; 0 stands for any free one."""
    return _parse(int, text, lambda number: 0 <= number < 2**16, "a port from 0 to 65535")


def _parse(kind, text, is_valid, wanted):
    try:
        number = kind(text)
        is_number = is_valid(number)
    except ValueError:
        is_number = False
    if not is_number:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return number


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--from``, ``--model`` and the options of models."""
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--from",
        dest="base",
        metavar="MODEL",
        help="adapt a bundled network, default or tiny, or an .npz file of weights, to your "
        "labels: a few dozen images per label are enough, and training takes seconds by default",
    )
    kind.add_argument(
        "--model",
        "-m",
        choices=("hog-svm", "cnn"),
        help="train from scratch. hog-svm: HOG features and a support vector machine, takes "
        "minutes on FER2013; cnn: a neural network, more accurate, takes about twenty minutes",
    )
    base = parser.add_argument_group("options of --from")
    base.add_argument(
        "--trainable",
        choices=("head", "last_stage", "all"),
        help="which part of the network to train: a new head, without TensorFlow; its last stage "
        "as well; or all of it (default: head)",
    )
    base.add_argument(
        "--head-C",
        type=float,
        metavar="X",
        help="regularisation parameter of a head; smaller values regularise more (default: 0.03)",
    )
    both = parser.add_argument_group("options of all models")
    both.add_argument(
        "--image-size",
        type=positive_int,
        metavar="N",
        help="side of the scaled faces in pixels (default: 48, as in FER2013)",
    )
    both.add_argument(
        "--crop-faces",
        action="store_true",
        help="detect and crop the face first, for photos that show more than a face",
    )
    both.add_argument(
        "--class-weight",
        choices=("balanced",),
        help="weight classes inversely to their frequency",
    )
    both.add_argument(
        "--limit", type=positive_int, metavar="N", help="use only N images, stratified by label"
    )
    both.add_argument(
        "--random-state",
        type=seed,
        default=0,
        metavar="N",
        help="random seed; the same seed yields the same model (default: 0)",
    )
    svm = parser.add_argument_group("options of --model hog-svm")
    svm.add_argument(
        "--C",
        type=float,
        metavar="X",
        help="regularisation parameter; smaller values regularise more (default: 5)",
    )
    svm.add_argument(
        "--kernel", choices=("rbf", "linear"), help="rbf is more accurate, linear is faster"
    )
    svm.add_argument(
        "--probability",
        action="store_true",
        default=None,
        help="enable probability estimates (about 4 times slower to train)",
    )
    _add_cnn_options(
        parser.add_argument_group(
            "options of --model cnn, and of --from with --trainable last_stage or all"
        )
    )


def _add_cnn_options(cnn):
    cnn.add_argument(
        "--architecture",
        choices=ARCHITECTURES,
        metavar="NAME",
        help=f"{', '.join(ARCHITECTURES)} (default: resnet_se with the hyperparameters of "
        f"the published benchmark; with this option, plain Adam at 0.001)",
    )
    cnn.add_argument(
        "--epochs", type=positive_int, metavar="N", help="passes over the training images"
    )
    cnn.add_argument("--batch-size", type=positive_int, metavar="N", help="images per batch")
    cnn.add_argument("--learning-rate", type=float, metavar="X", help="initial learning rate")
    cnn.add_argument("--dropout", type=float, metavar="X", help="fraction of units to drop, 0 to 1")
    cnn.add_argument(
        "--augmentation",
        action=argparse.BooleanOptionalAction,
        help="whether to flip, rotate, shift and otherwise distort training images randomly",
    )
    cnn.add_argument(
        "--validation-fraction",
        type=float,
        metavar="X",
        help="hold out this fraction of the images and score it after every epoch",
    )
    cnn.add_argument(
        "--early-stopping",
        action="store_true",
        default=None,
        help="stop when the validation score no longer improves, and keep the best epoch",
    )
    cnn.add_argument(
        "--patience",
        type=positive_int,
        metavar="N",
        help="epochs without improvement before stopping",
    )
    add_dtype_option(cnn)


def add_dtype_option(cnn: argparse._ActionsContainer, default: str | None = None) -> None:
    """Add ``--dtype-policy`` to the options of a CNN."""
    cnn.add_argument(
        "--dtype-policy",
        choices=("float32", "mixed_bfloat16"),
        default=default,
        help="dtype of the CNN; mixed_bfloat16 is for recent GPUs, and slower on most CPUs",
    )


def check_model_options(args: argparse.Namespace) -> None:
    """Exit with a usage error if an option belongs to another kind of model."""
    if args.base is None:
        given = [name for name in _FROM_OPTIONS if getattr(args, name) is not None]
        if given:
            args.parser.error(f"{_as_options(given)}: only with --from")
        reject_options(args, "--model", args.model, {"cnn": _CNN_OPTIONS, "hog-svm": _SVM_OPTIONS})
        return
    if args.image_size is not None:
        args.parser.error("--image-size: not with --from, whose network has its own size")
    by_model = {"cnn": ("architecture", "dropout"), "hog-svm": _SVM_OPTIONS}
    reject_options(args, "--model", "", by_model)
    epochs = [name for name in _EPOCH_OPTIONS if getattr(args, name) is not None]
    if epochs and args.trainable in (None, "head") and epochs != ["augmentation"]:
        args.parser.error(
            f"{_as_options(epochs)}: only for --trainable last_stage or all, since a head alone "
            f"needs no epochs"
        )


def reject_options(
    args: argparse.Namespace,
    option: str,
    choice: str,
    options_by_choice: Mapping[str, Iterable[str]],
) -> None:
    """Exit with a usage error if options of another choice were given.

    Parameters
    ----------
    args : namespace
    option : str
        The option that was chosen, such as ``"--model"``.
    choice : str
        Its value.
    options_by_choice : dict of str to sequence of str
        The options of each value, which are None in `args` unless they were given.
    """
    for other, names in options_by_choice.items():
        wrong = [name for name in names if getattr(args, name) is not None]
        if wrong and other != choice:
            args.parser.error(f"{_as_options(wrong)}: only for {option} {other}")


def _as_options(names):
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def build_model(args: argparse.Namespace, *, memory: str | None = None) -> Pipeline:
    """Return the unfitted pipeline that the options describe."""
    from ..pipelines import make_cnn_pipeline, make_hog_svm_pipeline

    size = args.image_size or 48
    common = {"size": size, "crop_faces": args.crop_faces, "memory": memory}
    names: tuple[str, ...]
    if args.base is not None:
        from ..pretrained import load_pretrained

        names = (*_FROM_OPTIONS, *_EPOCH_OPTIONS)
        pipeline = load_pretrained(args.base, crop_faces=args.crop_faces).set_params(memory=memory)
    elif args.model == "hog-svm":
        names = _SVM_OPTIONS
        pipeline = make_hog_svm_pipeline(**common)
    else:
        names = _CNN_OPTIONS
        note("Loading Keras …")
        pipeline = make_cnn_pipeline(_plain_cnn(args), **common)
    given = {name: getattr(args, name) for name in (*names, "class_weight", "random_state")}
    return pipeline.set_params(
        **{f"classifier__{name}": value for name, value in given.items() if value is not None}
    )


def model_name(args: argparse.Namespace) -> str:
    """Return the name of what is trained, for messages."""
    if args.base is None:
        return args.model
    parts = {"last_stage": "the last stage", "all": "all"}
    return f"{parts.get(args.trainable, 'a new head')} of {args.base}"


def _plain_cnn(args):
    """Return a network without the benchmark's settings, or None to use these."""
    if args.architecture is None:
        return None
    from ..cnn import FERCNNClassifier

    return FERCNNClassifier()


@contextmanager
def epoch_progress(pipeline: Pipeline) -> Iterator[None]:
    """Show the epochs for which a network in `pipeline` is trained in this context.

    On a terminal this is a bar, else one line per epoch; both on stderr. The parameters of the
    pipeline are restored, so that the bar is not saved with the model.
    """
    before = pipeline.get_params()
    if "classifier__callbacks" not in before or before["classifier__trainable"] == "head":
        yield
        return
    if is_terminal(sys.stderr):
        from ..cnn import EpochBar

        pipeline.set_params(classifier__callbacks=[EpochBar()])
    else:
        pipeline.set_params(classifier__verbose=1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        names = ("classifier__callbacks", "classifier__verbose")
        pipeline.set_params(**{name: before[name] for name in names})
