"""``fer-sklearn predict``: the emotions of all faces in photos and folders of photos."""

from __future__ import annotations

import argparse
import io
import mimetypes
import sys
import time
from itertools import islice

from .._utils.files import is_terminal, printable
from ._models import add_reader_options, load_reader
from ._output import PRINTERS, Command, CommandError, note, one_line

__all__ = ["PREDICT", "run"]

_HELP = """\
recognise the emotion of every face in photos

Recognise the emotion of every face in photos, with one row per face.

examples:
  fer-sklearn predict                        run on the bundled sample photo
  fer-sklearn predict holiday.jpg --annotate faces/
  fer-sklearn predict photos/ --output emotions.csv
  fer-sklearn predict 'photos/**/*.jpg' --format csv > emotions.csv
  fer-sklearn predict crops/ --no-crop-faces --model tiny

Repeat a command with --output to resume it where it stopped. A photo that
cannot be read gets a row with the reason; the exit code is then 1.
Model files contain no code, so it is safe to load one from a stranger.
"""
# The table is as wide as the longest of this many names.
_N_MEASURED = 2000


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="a photo; a folder, including its subfolders; or a pattern in quotes (default: a "
        "sample photo, scikit-image's astronaut)",
    )
    add_reader_options(parser)
    parser.add_argument(
        "--crop-faces",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to find faces; --no-crop-faces treats each photo as one face",
    )
    parser.add_argument(
        "--format",
        choices=tuple(PRINTERS),
        help="how to print the result (default: table, which omits some columns)",
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="write rows to a .csv, .jsonl or .parquet file as they are computed",
    )
    parser.add_argument(
        "--annotate",
        metavar="DIR",
        help="also write each photo to this folder, with boxes, emotions and probabilities",
    )
    parser.add_argument(
        "--provenance",
        action="store_true",
        help="also record how the results were made: versions, network, detector, framing and "
        "labels; for a .csv file, in FILE.provenance.json next to it",
    )
    parser.add_argument(
        "--force", action="store_true", help="start over if the file of --output exists"
    )


def run(args: argparse.Namespace) -> int:
    """Predict for all photos; return 1 if one could not be read."""
    from ..photos import check_photo_outputs

    if args.force and not args.output:
        args.parser.error("argument --force: only with --output")
    images = args.paths or [_sample()]
    check_photo_outputs(images, output=args.output, annotate=args.annotate)
    if args.output and args.format and not args.output.lower().endswith(f".{args.format}"):
        args.parser.error(
            "argument --format: only for printing; the suffix of --output determines its format"
        )
    names = ("annotate", "crop_faces", "provenance")
    options = {name: getattr(args, name) for name in names}
    summary = (_write if args.output else _print)(args, images, _reader(args), options)
    if summary.no_face * 2 > summary.photos and args.crop_faces:
        note(
            f"No face was found in {summary.no_face:,} of {summary.photos:,} photo(s). If they "
            f"show nothing but a face, add --no-crop-faces."
        )
    if summary.unreadable:
        raise CommandError(
            f"{summary.unreadable:,} of {summary.photos:,} photo(s) could not be read"
        )
    return 0


def _sample():
    """Return the sample photo as a file with a name."""
    from PIL import Image
    from skimage.data import astronaut

    note(
        "No PATH given: this is scikit-image's sample photo. Next, try: "
        "fer-sklearn predict PHOTO, or: fer-sklearn predict FOLDER --output emotions.csv"
    )
    file = io.BytesIO()
    Image.fromarray(astronaut()).save(file, "PNG")
    file.seek(0)
    file.name = "astronaut"
    return file


def _reader(args):
    return load_reader(args.model, args.labels, detector=args.detector)


def _write(args, images, reader, options):
    """Write rows to a file, or resume it; return the summary."""
    from ..photos import predict_photos

    try:
        summary = predict_photos(
            images, reader, output=args.output, overwrite=args.force, on_photo=_warn, **options
        )
    except ValueError as error:
        raise CommandError(str(error).replace("pass overwrite=True", "add --force")) from error
    note(f"Written to {args.output}: {summary}")
    return summary


def _print(args, images, reader, options):
    """Print rows as they are computed; return the summary."""
    from ..photos import PhotoSummary, iter_photo_rows, iter_sources

    summary, start = PhotoSummary(), time.monotonic()

    def count(photo):
        _warn(photo)
        summary.count(photo.rows())

    # A file object can be read only once.
    names = (source.name for source in iter_sources(args.paths or ["astronaut"]))
    longest = max(map(len, islice(names, _N_MEASURED)), default=0)
    printer = PRINTERS[args.format or "table"](reader.classes, longest)
    is_shown = is_terminal(sys.stderr) and not is_terminal(sys.stdout)
    for row in iter_photo_rows(images, reader, on_photo=count, progress=is_shown, **options):
        printer.write(row)
    printer.close()
    summary.seconds = time.monotonic() - start
    if summary.photos > 1:
        note(summary)
    return summary


def _warn(photo):
    """Report a photo that cannot be read, in a line above the progress bar."""
    _, is_unreadable, reason = photo.status.partition("unreadable: ")
    if is_unreadable:
        from tqdm import tqdm

        name = photo.source.name
        message = f"fer-sklearn: warning: {printable(one_line(name))}: {printable(reason)}"
        if (mimetypes.guess_type(name)[0] or "").startswith("video/"):
            message += ". For videos, type: fer-sklearn video"
        tqdm.write(message, file=sys.stderr)


PREDICT = Command("predict", _HELP, _add_options, run)
