"""``fer-sklearn export``: a fitted network in a format of phones, browsers and servers."""

import argparse
from pathlib import Path

from ._data import load_labelled
from ._models import MODEL_HELP, SHIPPED, positive_int
from ._output import CommandError, check_output, emit, note, render

__all__ = ["FORMATS", "PRECISIONS", "add_parser", "run"]

# These are named here too, since the modules that define them load much.
#: Format -> suffix of its file, None for a folder.
FORMATS = {"tflite": ".tflite", "tfjs": None, "onnx": ".onnx", "saved_model": None, "web": None}
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")

_MOST_IMAGES = 300
# Options that one format alone has.
_OPTIONS = {
    "tflite": ("precision", "min_label_agreement", "input_size", "batch_size"),
    "web": ("cdn",),
}
_NEXT = {
    "tflite": "in Python, without TensorFlow: fer_sklearn.load_exported({path!r}); on Android and "
    "iOS: docs/deployment.md",
    "tfjs": "await tf.loadGraphModel('{path}/model.json') in JavaScript: docs/deployment.md",
    "onnx": "in Python, without TensorFlow: fer_sklearn.load_exported({path!r}); elsewhere: "
    "docs/deployment.md",
    "saved_model": "tf.saved_model.load({path!r}).serve(faces), or TensorFlow Serving",
    "web": "python -m http.server --directory {path}, and open http://localhost:8000. Any static "
    "server will do; a camera needs https, or localhost.",
}
_EXAMPLES = """\
examples:
  fer-sklearn export page/ --format web
  fer-sklearn export emotions.tflite
  fer-sklearn export small.tflite --precision int8 --images fer2013.zip
  fer-sklearn export mine.onnx --model cnn.fer

Grey conversion, scaling and normalisation become part of what is written; a
JSON file tells what goes in and comes out. What was written is run and compared
with the model before it is kept.

A model file can run any code when it is read: use only files that you trust.
"""


def add_parser(commands):
    """Describe the command."""
    parser = commands.add_parser(
        "export",
        help="write a network for phones, browsers and servers",
        description="Write a network in a format of phones, browsers and servers, and check that "
        "it answers as before.",
        usage="fer-sklearn export PATH [--format NAME] [--model MODEL] [options]",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        help="the file to write, .tflite or .onnx, or the folder for the other formats",
    )
    parser.add_argument("--model", "-m", default="default", help=f"{MODEL_HELP} (default: default)")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="tflite: LiteRT, for Android, iOS and small devices; tfjs: TensorFlow.js; onnx: needs "
        "the extra onnx; saved_model: TensorFlow; web: a whole page for any static server "
        "(default: what the suffix of PATH says)",
    )
    parser.add_argument(
        "--images",
        metavar="DATA",
        help=f"faces like those to come: FER2013, label folders, or a folder of images, of which "
        f"{_MOST_IMAGES} are used, to learn the ranges of --precision int8 and to compare",
    )
    parser.add_argument("--license", metavar="TEXT", help="licence to record in the metadata file")
    parser.add_argument("--force", action="store_true", help="replace an earlier export at PATH")
    litert = parser.add_argument_group("options of --format tflite")
    litert.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the weights: fewer bits are smaller, and answer less exactly (default: float32)",
    )
    litert.add_argument(
        "--min-label-agreement",
        type=_share,
        metavar="X",
        help="minimum fraction of faces whose predicted label must be unchanged at reduced "
        "precision (default: 0.97)",
    )
    litert.add_argument(
        "--input-size",
        type=positive_int,
        metavar="N",
        help="side of the faces that go in, a multiple of the model's own, which is the default",
    )
    litert.add_argument(
        "--batch-size", type=positive_int, metavar="N", help="faces at once (default: 1)"
    )
    web = parser.add_argument_group("options of --format web")
    web.add_argument(
        "--cdn",
        action="store_true",
        default=None,
        help="have browsers fetch TensorFlow.js and OpenCV.js from a public CDN, rather than "
        "copying them into the folder with npm",
    )
    parser.set_defaults(run=run)
    return parser


def run(args):
    """Export, and print how it was checked."""
    form = _check_options(args)
    path = _check_path(args.path, form, force=args.force)
    images = None if args.images is None else _load_images(args.images)
    note("Loading Keras …")
    model = _load_model(args.model)
    options = {name: getattr(args, name) for name in _OPTIONS["tflite"]}
    options = {name: value for name, value in options.items() if value is not None}
    note(f"Writing {path} and running it …")
    described = _export(
        model,
        path,
        format=form,
        representative_data=images,
        license=args.license,
        bundle_packages=False if args.cdn else "auto",
        overwrite=args.force,
        **options,
    )
    summary = _summary(path, described)
    emit(render([{"result": key, "value": value} for key, value in summary.items()], "table"))
    note(f"Next: {_NEXT[form].format(path=str(path))}")
    return 0


def _share(text):
    """Parse a share on the command line."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _check_options(args):
    """Return the format, or end with a usage error if the options do not fit together."""
    suffix = Path(args.path).suffix
    by_suffix = {suffix: form for form, suffix in FORMATS.items() if suffix}
    form = args.format or by_suffix.get(suffix)
    if form is None:
        args.parser.error(
            f"--format is needed, since {args.path} ends neither in .tflite nor in .onnx; choose "
            f"from {', '.join(FORMATS)}"
        )
    if FORMATS[form] not in (None, suffix):
        args.parser.error(f"{args.path} must end in {FORMATS[form]} for --format {form}")
    for only, names in _OPTIONS.items():
        wrong = [name for name in names if getattr(args, name) is not None and form != only]
        if wrong:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            args.parser.error(f"{options}: only for --format {only}")
    if args.precision == "int8" and args.images is None:
        args.parser.error("--precision int8 needs --images, of which it learns ranges")
    return form


def _check_path(path, form, *, force):
    """Refuse, before any work is done, what could not or should not be written."""
    path = Path(path)
    if FORMATS[form]:
        check_output(_json_of(path), force=force, option="PATH")
        return check_output(path, force=force, option="PATH")
    if not path.absolute().parent.is_dir():
        raise CommandError(f"{path}: there is no folder {path.parent}. Create it first.")
    if path.exists() and not force:
        raise CommandError(
            f"{path} exists already. Choose another PATH, or add --force to replace an earlier "
            f"export."
        )
    return path


def _json_of(path):
    return path.with_name(f"{path.name}.json")


def _load_images(path):
    """Return faces from labelled data, or from a folder with nothing but images in it."""
    from ..images import read_image

    files = _images_in(Path(path))
    if not files:
        return load_labelled(path, limit=_MOST_IMAGES).images
    n_used = min(len(files), _MOST_IMAGES)
    used = [files[i * len(files) // n_used] for i in range(n_used)]
    note(f"Read {path}: {n_used} of {len(files):,} images")
    return [read_image(file) for file in used]


def _images_in(folder):
    """Return the images in a folder, none where it has folders of its own, those of labels."""
    from ..images import IMAGE_SUFFIXES

    found = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [file for file in found if not file.name.startswith(".")]
    if any(file.is_dir() for file in found):
        return []
    return [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES]


def _load_model(name):
    """Load a shipped model, or a file, with the network that Keras computes."""
    if name in SHIPPED:
        from ..pretrained import load_pretrained

        return load_pretrained(name)
    from ..persistence import load

    return load(name)


def _export(model, path, **options):
    from ..exceptions import ExportError
    from ..exporting import export

    try:
        return export(model, path, **options)
    # Each is told by its message alone: a model of another kind, and a file that answers otherwise.
    except (TypeError, ExportError) as error:
        raise CommandError(str(error)) from error


def _summary(path, described):
    """Return what is shown of an export."""
    given, check = described["input"], described["check"]
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
        written = {"folder": str(path), "files": str(len(files))}
    else:
        files = [path]
        written = {"file": str(path), "metadata": str(_json_of(path))}
    size = sum(file.stat().st_size for file in files)
    shape = "×".join("any" if side is None else str(side) for side in given["shape"])
    low, high = given["range"]
    return {
        **written,
        "size": f"{size / 1e6:.2f} MB",
        "input": f"{shape} {given['dtype']}, {given['kind']}, {low:g} to {high:g}",
        "labels": ", ".join(described["labels"]),
        "verified with": check["runtime"],
        "test faces": str(check["faces"]),
        "largest difference": f"{check['largest_difference']:.2g}",
        "same labels": f"{check['label_agreement']:.1%}",
    }
