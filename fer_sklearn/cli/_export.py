"""``fer-sklearn export`` and ``fer-sklearn serve``: models for other programs and computers."""

from __future__ import annotations

import argparse
import ipaddress
import json
import shlex
from pathlib import Path

from .._utils.files import real_target
from ._data import load_labelled
from ._models import (
    MODEL_HELP,
    add_labels_option,
    add_reader_options,
    fraction,
    load_model,
    load_reader,
    port,
    positive_int,
    positive_seconds,
    reject_options,
)
from ._output import Command, CommandError, check_output, emit, note, render

__all__ = ["EXPORT", "FORMATS", "PRECISIONS", "SERVE", "run", "run_serve"]

# Copies: importing the modules that define them would slow down --help.
#: Suffix of the file of each format; None for a folder.
FORMATS = {"tflite": ".tflite", "tfjs": None, "onnx": ".onnx", "saved_model": None, "web": None}
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")

_MOST_IMAGES = 300
# Options of one format only.
_OPTIONS = {
    "tflite": ("precision", "min_label_agreement", "input_size", "batch_size"),
    "web": ("cdn",),
}
_NEXT = {
    "tflite": "in Python, without TensorFlow: fer_sklearn.load_exported({path!r}); on Android and "
    "iOS: docs/deployment.md",
    "tfjs": "await tf.loadGraphModel({model}) in JavaScript: docs/deployment.md",
    "onnx": "in Python, without TensorFlow: fer_sklearn.load_exported({path!r}); elsewhere: "
    "docs/deployment.md",
    # In two steps: only `model` keeps the variables alive.
    "saved_model": "model = tf.saved_model.load({path!r}); model.serve(faces), or TensorFlow "
    "Serving",
    "web": "python -m http.server --directory {folder}, and open http://localhost:8000. Any static "
    "server works; the camera needs https or localhost.",
}
_EXPORT_HELP = """\
export a network for phones, browsers and servers

Export a network to a format for phones, browsers and servers, and verify that
its predictions are unchanged.

examples:
  fer-sklearn export page/ --format web
  fer-sklearn export emotions.tflite
  fer-sklearn export small.tflite --precision int8 --images fer2013.zip
  fer-sklearn export mine.onnx --model cnn.fer

Conversion to grey, scaling and normalisation become part of the exported model;
a JSON file describes its input and output. Every export is run and compared
with the model before it is kept.

Model files contain no code, so it is safe to load one from a stranger.
"""
_SERVE_HELP = """\
serve predictions for faces in photos over HTTP

Serve predictions for the faces in photos over HTTP.

examples:
  fer-sklearn serve
  fer-sklearn serve --model tiny --port 8080
  FER_SKLEARN_TOKEN=... fer-sklearn serve --host 0.0.0.0
  curl http://127.0.0.1:8000/v1/faces --form files=@photo.jpg

Only this computer can reach the service, unless --host says otherwise. If the
environment variable FER_SKLEARN_TOKEN is set, or with --token-file, clients
must send "Authorization: Bearer TOKEN". Open /docs at the printed address for
a description of requests and responses. After Ctrl-C or SIGTERM, the service
finishes the requests in progress and exits.
Model files contain no code, so it is safe to load one from a stranger.
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        metavar="PATH",
        help="file to write, .tflite or .onnx, or folder for the other formats",
    )
    parser.add_argument("--model", "-m", default="default", help=f"{MODEL_HELP} (default: default)")
    add_labels_option(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="tflite: LiteRT, for Android, iOS and small devices; tfjs: TensorFlow.js; onnx: needs "
        "the extra onnx; saved_model: TensorFlow; web: a complete web app for any static server "
        "(default: determined by the suffix of PATH)",
    )
    parser.add_argument(
        "--images",
        metavar="DATA",
        help=f"representative faces: FER2013, label folders, or a folder of images, of which up to "
        f"{_MOST_IMAGES} are used, to calibrate --precision int8 and to verify the export",
    )
    parser.add_argument("--license", metavar="TEXT", help="licence to record in the metadata file")
    parser.add_argument("--force", action="store_true", help="replace an earlier export at PATH")
    litert = parser.add_argument_group("options of --format tflite")
    litert.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="precision of the weights: fewer bits make smaller, less accurate files (default: "
        "float32)",
    )
    litert.add_argument(
        "--min-label-agreement",
        type=fraction,
        metavar="X",
        help="minimum fraction of faces whose predicted label must be unchanged at reduced "
        "precision (default: 0.97)",
    )
    litert.add_argument(
        "--input-size",
        type=positive_int,
        metavar="N",
        help="side of the input faces in pixels, a multiple of the model's (default: the same)",
    )
    litert.add_argument(
        "--batch-size", type=positive_int, metavar="N", help="faces per call (default: 1)"
    )
    web = parser.add_argument_group("options of --format web")
    web.add_argument(
        "--cdn",
        action="store_true",
        default=None,
        help="let browsers load TensorFlow.js from a public CDN; by default, npm copies it into "
        "the folder, so that the page works offline",
    )


def run(args: argparse.Namespace) -> int:
    """Export, and print how the export was verified."""
    form = _check_options(args)
    path = _check_path(args.path, form, force=args.force)
    images = None if args.images is None else _load_images(args.images)
    note("Loading Keras …")
    model = load_model(args.model, args.labels, runtime="keras")
    options = {name: getattr(args, name) for name in _OPTIONS["tflite"]}
    options = {name: value for name, value in options.items() if value is not None}
    note(f"Exporting to {path} and verifying it …")
    described = _export(
        model,
        path,
        format=form,
        representative_data=images,
        license=args.license,
        bundle_packages=not args.cdn,
        overwrite=args.force,
        **options,
    )
    summary = _summary(path, described)
    emit(render([{"result": key, "value": value} for key, value in summary.items()], "table"))
    names = {"folder": shlex.quote(str(path)), "model": json.dumps(f"{path.as_posix()}/model.json")}
    note(f"Next: {_NEXT[form].format(path=str(path), **names)}")
    return 0


def _check_options(args):
    """Return the format, or exit with a usage error if the options contradict each other."""
    suffix = Path(args.path).suffix
    by_suffix = {suffix: form for form, suffix in FORMATS.items() if suffix}
    form = args.format or by_suffix.get(suffix, "")
    if not form:
        args.parser.error(
            f"--format is required, since {args.path} ends neither in .tflite nor in .onnx; choose "
            f"from {', '.join(FORMATS)}"
        )
    if FORMATS[form] not in (None, suffix):
        args.parser.error(f"{args.path} must end in {FORMATS[form]} for --format {form}")
    reject_options(args, "--format", form, _OPTIONS)
    if args.precision == "int8" and args.images is None:
        args.parser.error("--precision int8 needs --images for calibration")
    return form


def _check_path(path, form, *, force):
    """Check before any work is done that the export can and may be written."""
    path = Path(path)
    if FORMATS[form]:
        check_output(_json_of(path), force=force, option="PATH")
        return check_output(path, force=force, option="PATH")
    real_target(path, "PATH")
    if path.exists() and not force:
        raise CommandError(
            f"PATH={str(path)!r} exists already. Choose another folder, or add --force to replace "
            f"an earlier export."
        )
    return path


def _json_of(path):
    return path.with_name(f"{path.name}.json")


def _load_images(path):
    """Return faces from labelled data, or from a folder that contains only images."""
    from ..images import read_image

    files = _images_in(Path(path))
    if not files:
        return load_labelled(path, limit=_MOST_IMAGES).images
    n_used = min(len(files), _MOST_IMAGES)
    used = [files[i * len(files) // n_used] for i in range(n_used)]
    note(f"Read {path}: {n_used} of {len(files):,} images")
    return [read_image(file) for file in used]


def _images_in(folder):
    """Return the images in a folder; none if it has subfolders, which stand for labels."""
    from ..images import is_image_file

    found = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [file for file in found if not file.name.startswith(".")]
    if any(file.is_dir() for file in found):
        return []
    return [file for file in found if is_image_file(file.name)]


def _export(model, path, **options):
    from ..exceptions import ExportError
    from ..exporting import export

    try:
        return export(model, path, **options)
    # Expected errors: an unsupported model, and an export whose predictions differ.
    except (TypeError, ExportError) as error:
        raise CommandError(str(error)) from error


def _summary(path, described):
    """Return the rows that are printed."""
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


def _add_serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 for all networks (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=port,
        default=8000,
        metavar="N",
        help="port to listen on; 0 picks a free one (default: 8000)",
    )
    add_reader_options(parser)
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the token that clients must send, instead of FER_SKLEARN_TOKEN",
    )
    limits = parser.add_argument_group("limits")
    for option, default, what in (
        ("--max-bytes", 32_000_000, "maximum size of a request, in bytes"),
        ("--max-files", 16, "maximum number of photos per request"),
        ("--max-pixels", 50_000_000, "maximum number of pixels per photo"),
        ("--max-queue", 256, "maximum number of photos, of all requests, that may wait"),
    ):
        limits.add_argument(
            option,
            type=positive_int,
            default=default,
            metavar="N",
            help=f"{what} (default: {default})",
        )
    limits.add_argument(
        "--timeout",
        type=positive_seconds,
        default=30.0,
        metavar="S",
        help="time limit for a body to arrive, and for the response, in seconds (default: 30)",
    )


def run_serve(args: argparse.Namespace) -> int:
    """Serve until a signal ends it, which is the normal way."""
    from ..serve import TOKEN_VARIABLE, create_app, read_token, run_app

    token = None if args.token_file is None else _read(args.token_file)
    names = ("max_bytes", "max_files", "max_pixels", "max_queue", "timeout")
    app = create_app(
        load_reader(args.model, args.labels, detector=args.detector),
        token=token,
        **{name: getattr(args, name) for name in names},
    )

    def report(address):
        note(f"Serving on {address} (see {address}/docs). Press Ctrl-C to stop.")
        if not (_is_loopback(args.host) or read_token(token)):
            note(
                f"fer-sklearn: warning: anyone who can reach this address can use it; set "
                f"{TOKEN_VARIABLE} to a secret, or put it behind a server that requires one"
            )

    try:
        run_app(app, host=args.host, port=args.port, on_start=report)
    except KeyboardInterrupt:  # uvicorn raises it again once all is done
        note("Stopped")
    return 0


def _read(path):
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # Windows writes a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CommandError(f"--token-file {path} cannot be read: {reason}") from error


def _is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


EXPORT = Command(
    "export",
    _EXPORT_HELP,
    _add_options,
    run,
    usage="fer-sklearn export PATH [--format NAME] [--model MODEL] [options]",
)

SERVE = Command("serve", _SERVE_HELP, _add_serve_options, run_serve)
