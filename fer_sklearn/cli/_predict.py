"""``fer-sklearn predict``: the emotions of all faces in photos and folders of photos."""

import argparse
import sys
from contextlib import closing
from itertools import islice

from ._models import MODEL_HELP, load_model
from ._output import PRINTERS, CommandError, Pictures, note, one_line

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  fer-sklearn predict                        a photo that comes along
  fer-sklearn predict holiday.jpg --annotate faces/
  fer-sklearn predict photos/ --output emotions.csv
  fer-sklearn predict 'photos/**/*.jpg' --format csv > emotions.csv
  fer-sklearn predict crops/ --no-crop-faces --model tiny

The same command with the same --output goes on where the last one ended.
A photo that cannot be read gets a row that says so; the exit code is then 1.
A model file can run any code when it is read: use only files that you trust.
"""
_DEMO = "astronaut"
# A table is made as wide as the longest of so many names.
_N_MEASURED = 2000


def add_parser(commands):
    """Describe the command."""
    parser = commands.add_parser(
        "predict",
        help="tell the emotion of every face in photos",
        description="Tell the emotion of every face in photos: one row a face.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="a photo; a folder, whose photos are all taken; or a pattern in quotes (default: "
        "scikit-image's astronaut)",
    )
    parser.add_argument(
        "--model", "-m", metavar="MODEL", default="default", help=f"{MODEL_HELP} (default: default)"
    )
    parser.add_argument(
        "--crop-faces",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to find the faces; --no-crop-faces takes each photo for one face",
    )
    parser.add_argument(
        "--detector",
        choices=("haar", "yunet"),
        help="what finds faces (default: the detector of the model's step crop, or haar)",
    )
    parser.add_argument(
        "--format",
        choices=tuple(PRINTERS),
        help="how to print the result (default: table); a table leaves columns out",
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="write to a .csv, .jsonl or .parquet file as results come, not to stdout",
    )
    parser.add_argument(
        "--annotate",
        metavar="DIR",
        help="also write each photo there, with boxes, emotions and their probabilities",
    )
    parser.add_argument("--force", action="store_true", help="begin the file of --output anew")
    parser.set_defaults(run=run)
    return parser


def run(args):
    """Predict for all photos; return 1 if one could not be read."""
    pictures = _check(args)
    images = args.paths
    if not images:
        from skimage.data import astronaut

        images = astronaut()
        note(
            "No PATH is given: this is the astronaut who comes with scikit-image. Next, type: "
            "fer-sklearn predict PHOTO, or: fer-sklearn predict FOLDER --output emotions.csv"
        )
    job = _Job(args, images, pictures)
    counted = job.write(args.output, args.force) if args.output else job.show(args.format)
    if counted.no_face * 2 > counted.photos and args.crop_faces:
        note(
            f"In {counted.no_face:,} of {counted.photos:,} photo(s) no face was found. If they "
            f"show nothing but a face, add --no-crop-faces."
        )
    if counted.unreadable:
        raise CommandError(
            f"{counted.unreadable:,} of {counted.photos:,} photo(s) could not be read"
        )
    return 0


def _check(args):
    """Refuse what cannot be written before any work is done."""
    if args.output:
        from ..photos._rows import check_output

        path = check_output(args.output)
        if args.format and path.suffix.lower() != f".{args.format}":
            args.parser.error(
                "argument --format: is for what is printed; the suffix of --output names its own"
            )
    elif args.force:
        args.parser.error("argument --force: only with --output")
    return Pictures(args.annotate, args.paths) if args.annotate else None


def _reader(args):
    from ..face_reader import FaceReader

    return FaceReader(load_model(args.model), detector=args.detector)


class _Job:
    """Photos to be read, classified, drawn, and told about."""

    def __init__(self, args, images, pictures):
        from ..photos._recognize import row_columns

        self._images, self._pictures = images, pictures
        self._crop_faces = args.crop_faces
        self._reader = _reader(args)
        self._classes = self._reader.classes
        self._columns = row_columns(self._classes)

    def show(self, form):
        """Print rows as they come; return their counts."""
        from ..photos import PhotoSummary

        counted = PhotoSummary(None)
        some = islice(self._sources(), _N_MEASURED)
        longest = max((len(source.name) for source in some), default=0)
        printer = PRINTERS[form or "table"](self._classes, self._columns, longest)
        with self._bar(sys.stderr.isatty() and not sys.stdout.isatty()) as bar:
            for photos in self._photos(self._sources(), bar):
                printer.write([row for rows in photos for row in rows])
                for rows in photos:
                    counted.count(rows)
        printer.close()
        return counted

    def write(self, output, force):
        """Write rows to a file, or go on with it; return the counts of the whole file."""
        from ..photos._rows import RowFile

        file = RowFile(output, self._columns, overwrite=force, remedy="add --force")
        try:
            with file, self._bar(sys.stderr.isatty()) as bar:
                sources = file.resume(self._sources())
                counted = file.summary
                if counted.resumed:
                    note(f"{output} has {counted.resumed:,} photo(s) already; going on after them.")
                    bar.update(counted.resumed)
                for photos in self._photos(sources, bar):
                    file.write(photos)
        except KeyboardInterrupt:
            note(
                f"{file.lines_path} keeps {file.summary.photos:,} photo(s); the same command goes "
                f"on after them."
            )
            raise
        note(
            f"Written to {output}: {counted.photos:,} photo(s), {counted.faces:,} face(s), "
            f"{counted.no_face:,} photo(s) without a face."
        )
        return counted

    def _sources(self):
        from ..photos._sources import PhotoSource, iter_sources

        if isinstance(self._images, list):
            return iter_sources(self._images)
        return [PhotoSource(_DEMO, self._images)]

    def _bar(self, shown):
        from ..photos._predict import photo_bar

        return photo_bar(self._images, shown)

    def _photos(self, sources, bar):
        """Yield the rows of the photos of a batch, once their pictures are drawn."""
        from joblib import cpu_count

        from ..photos._recognize import iter_photo_batches
        from ..photos._rows import UNREADABLE

        batches = iter_photo_batches(
            sources,
            self._reader,
            crop_faces=self._crop_faces,
            n_threads=cpu_count(),
            keep_photos=self._pictures is not None,
        )
        with closing(batches):
            for results in batches:
                for result in results:
                    reason = result.status.removeprefix(f"{UNREADABLE}: ")
                    if reason != result.status:
                        bar.write(
                            f"fer-sklearn: warning: {one_line(result.source.name)}: {reason}",
                            file=sys.stderr,
                        )
                    if self._pictures is not None:
                        self._pictures.draw(result, self._classes)
                yield [result.rows(self._classes) for result in results]
                bar.update(len(results))
