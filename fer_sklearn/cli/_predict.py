"""``fer-sklearn predict``: the emotion in photos and folders of photos."""

import argparse
from pathlib import Path

from ._models import MODEL_HELP, SHIPPED, load_model
from ._output import add_format, choose_format, emit, render
from ._terminal import CommandError, note, one_line, progress

__all__ = ["add_parser", "run"]

_FORMATS = ("table", "csv", "json")
# Few enough that the photos of a batch fit into memory whatever their size.
_AT_ONCE = 16

_EXAMPLES = """\
examples:
  fer-sklearn predict holiday.jpg
  fer-sklearn predict photos/ --format csv > emotions.csv
  fer-sklearn predict faces/ --no-crop-faces --model tiny
  fer-sklearn predict face.png --model hog.fer

Where no face is found, the whole photo is used. A photo that cannot be read
gets a row that says so; the exit code is then 1.
A model file can run any code when it is read: use only files that you trust.
"""


def add_parser(commands):
    """Describe the command."""
    parser = commands.add_parser(
        "predict",
        help="tell the emotion in photos",
        description="Tell the emotion in photos: one row a photo.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="a photo, or a folder, whose photos are all taken"
    )
    parser.add_argument(
        "--model", "-m", metavar="MODEL", default="default", help=f"{MODEL_HELP} (default: default)"
    )
    parser.add_argument(
        "--crop-faces",
        action=argparse.BooleanOptionalAction,
        help="whether to find the largest face first (a shipped model does, a model file as it "
        "was trained)",
    )
    add_format(parser, choices=_FORMATS)
    parser.set_defaults(run=run)
    return parser


def run(args):
    """Predict for all photos; return 1 if one could not be read."""
    crop_faces = args.model in SHIPPED if args.crop_faces is None else args.crop_faces
    model = _Model(load_model(args.model), crop_faces)
    photos = list(_find_photos(args.paths))
    batches = range(0, len(photos), _AT_ONCE)
    rows = []
    for start in progress(batches, unit="batch", leave=False):
        rows += model.rows(photos[start : start + _AT_ONCE])
    if model.n_large:
        note(
            f"{model.n_large} of {len(rows)} photo(s) are large, and were taken to show "
            f"nothing but a face. If they show more, add --crop-faces."
        )
    emit(render(rows, choose_format(args, _FORMATS)), args.output)
    failed = sum(row["status"] == _UNREADABLE for row in rows)
    if failed:
        raise CommandError(f"{failed} of {len(rows)} photo(s) could not be read")
    return 0


_OK, _UNREADABLE, _NO_FACE = "ok", "not readable", "no face found"
# A crop of a face is rarely larger; FER2013's have 48 pixels.
_LARGE = 256


class _Model:
    """A fitted model, its cropper apart, so that each photo has a status of its own."""

    def __init__(self, model, crop_faces):
        from ..faces import FaceCropper

        steps = [name for name, _ in getattr(model, "steps", [])]
        self.cropper = FaceCropper() if crop_faces else None
        if steps[:1] == ["crop"]:
            self.cropper, model = model[0], model[1:]
        if not hasattr(model, "predict"):
            raise CommandError(f"the model, a {type(model).__name__}, cannot predict")
        if self.cropper is not None:
            self.cropper.set_params(on_no_face="raise")
        self.classifier = model
        self.certainty = "probability" if hasattr(model, "predict_proba") else "decision"
        self.n_large = 0

    def rows(self, paths):
        """Return a row a photo."""
        photos, states = zip(*map(self._read, paths), strict=True)
        faces = [photo for photo in photos if photo is not None]
        answers = iter(self._answers(faces) if faces else ())
        unknown = {"emotion": None, self.certainty: None}
        return [
            {"source": str(path)} | (unknown if photo is None else next(answers)) | {"status": s}
            for path, photo, s in zip(paths, photos, states, strict=True)
        ]

    def _read(self, path):
        """Return the face in a photo, None if it cannot be read, and the status."""
        from ..exceptions import ImageReadError, NoFaceError
        from ..images import read_image

        try:
            photo = read_image(path)
        except ImageReadError as error:
            note(f"fer-sklearn: warning: {one_line(error)}")
            return None, _UNREADABLE
        if self.cropper is None:
            self.n_large += min(photo.shape[:2]) > _LARGE
            return photo, _OK
        try:
            return self.cropper.transform([photo])[0], _OK
        except NoFaceError:
            return photo, _NO_FACE

    def _answers(self, faces):
        """Yield the predicted label of each face, and the model's score of that label."""
        labels = self.classifier.predict(faces)
        if self.certainty == "probability":
            scores = self.classifier.predict_proba(faces)
        else:
            scores = self.classifier.decision_function(faces)
        if scores.ndim == 1:  # two labels: one number, whose sign decides
            scores = abs(scores)
        else:
            columns = self.classifier.classes_.searchsorted(labels)
            scores = scores[range(len(labels)), columns]
        for label, score in zip(labels, scores, strict=True):
            yield {"emotion": str(label), self.certainty: round(float(score), 4)}


def _find_photos(paths):
    """Yield photos; those of a folder sorted, of any depth."""
    from ..images import IMAGE_SUFFIXES

    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        found = [
            file
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        ]
        if not found:
            raise CommandError(f"{path}: there is no photo in this folder")
        yield from found
