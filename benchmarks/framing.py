"""How should a face be cropped, and how often is it found and recognised?

    python benchmarks/framing.py --data fer2013.zip --votes ferplus.csv --web web_photos.zip

Detects faces in photos from the web, and in FER2013's test images, which are enlarged to 192
pixels. Crops the largest face of each in several ways, from the detector's box as it is to the key
points, and recognises the crops with the bundled `default` model. A photo in which no face is found
counts as an error, as it does for users. Both sets were used to choose the default. Writes
benchmarks/results/framing.json and a Markdown table next to it.
"""

import zipfile
from io import BytesIO

import cv2
import numpy as np
from _common import argument_parser, load_bunch, markdown_table, write_result

from fer_sklearn import detect_faces, load_pretrained, read_image
from fer_sklearn.datasets import load_ferplus, majority_vote
from fer_sklearn.faces import crop_face
from fer_sklearn.images import resize_gray

SIZE = (48, 48)
ENLARGED = (192, 192)
DETECTORS = ("blazeface", "haar")
RIGHT_EYE, LEFT_EYE, MOUTH = 0, 1, 3  # in `Faces.keypoints`
# Positions of eyes and mouth in FER2013's images, as fractions of the image.
IN_CROP = {RIGHT_EYE: (15.1 / 48, 18.9 / 48), LEFT_EYE: (32.9 / 48, 18.7 / 48)}
IN_CROP[MOUTH] = (24.3 / 48, 37.2 / 48)
NEUTRAL = "neutral"


def main():
    args = argument_parser(__doc__, votes=True, web=True).parse_args()
    public = load_bunch(args.data, "public")
    people = majority_vote(load_ferplus(args.votes, public.filenames))
    clear = people != ""
    enlarged = [
        cv2.cvtColor(cv2.resize(image, ENLARGED, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
        for image in public.images[clear]
    ]
    sets = {"web": web_photos(args.web), "fer2013": (enlarged, people[clear])}
    model = load_pretrained("default")
    rows = {}
    for detector in DETECTORS:
        for name, (photos, truth) in sets.items():
            found = [largest(detect_faces(photo, detector=detector)) for photo in photos]
            for way, framed in WAYS.items():
                if detector == "haar" and way not in BOX_WAYS:
                    continue
                crops, owners = [], []
                for index, (photo, faces) in enumerate(zip(photos, found, strict=True)):
                    if len(faces):
                        crops.append(framed(photo, faces))
                        owners.append(index)
                row = scores(model, crops, np.array(owners), truth)
                rows.setdefault(f"{detector}: {way}", {})[name] = row
                print(detector, way, name, row, flush=True)
    write_result("framing", {"rows": rows}, args.output, table(rows))


def web_photos(path):
    """Return photos and labels of a zip of ``emotion/*.jpg``."""
    with zipfile.ZipFile(path) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))
        photos = [read_image(BytesIO(file.read(name))) for name in names]
    return photos, np.array([name.split("/")[-2] for name in names])


def largest(faces):
    if len(faces) < 2:
        return faces
    return faces.take([int(np.prod(faces.boxes[:, 2:], axis=1).argmax())])


def box_as_it_is(photo, faces):
    return crop_face(photo, faces.boxes[0], SIZE, box_in_crop=(0.0, 0.0, 1.0, 1.0))


def box_moved(photo, faces):
    return crop_face(photo, faces.boxes[0], SIZE, box_in_crop=faces.box_in_crop)


def box_levelled(photo, faces):
    """Where the box puts eyes and mouth in FER2013's images, turned as the eyes are."""
    left, top, width, height = faces.boxes[0]
    in_left, in_top, in_width, in_height = faces.box_in_crop
    side = max(width / in_width, height / in_height)
    centre = np.array([left + width / 2, top + height / 2])
    box_centre = np.array([in_left + in_width / 2, in_top + in_height / 2])
    eyes = faces.keypoints[0, LEFT_EYE] - faces.keypoints[0, RIGHT_EYE]
    cosine, sine = eyes / np.linalg.norm(eyes)
    points = np.full((6, 2), np.nan)
    for index, place in IN_CROP.items():
        x, y = (place - box_centre) * side
        points[index] = centre + np.array([cosine * x - sine * y, sine * x + cosine * y])
    return by_keypoints(photo, faces, points)


def by_keypoints(photo, faces, points):
    box, inside = faces.boxes[0], faces.box_in_crop
    return crop_face(photo, box, SIZE, points, box_in_crop=inside)


def keypoints_scaled(scale):
    """By the key points, with more of the surroundings if `scale` is above 1."""

    def framed(photo, faces):
        points = faces.keypoints[0]
        centre = points[[RIGHT_EYE, LEFT_EYE, MOUTH]].mean(axis=0)
        return by_keypoints(photo, faces, centre + (points - centre) * scale)

    return framed


BOX_WAYS = {"box as it is": box_as_it_is, "box, moved and scaled": box_moved}
WAYS = BOX_WAYS | {
    "box, moved, scaled and levelled": box_levelled,
    "key points": keypoints_scaled(1.0),
    "key points, 8 % tighter": keypoints_scaled(1 / 1.08),
    "key points, 4 % tighter": keypoints_scaled(1 / 1.04),
    "key points, 4 % wider": keypoints_scaled(1.04),
    "key points, 8 % wider": keypoints_scaled(1.08),
}


def scores(model, crops, owners, truth):
    predicted = model.predict(resize_gray(crops, SIZE))
    right = predicted == truth[owners]
    neutral = truth[owners] == NEUTRAL
    return {
        "photos": len(truth),
        "found": len(owners),
        "right_of_found": float(right.mean()),
        "right_of_all": float(right.sum() / len(truth)),
        "neutral_right_of_found": float(right[neutral].mean()),
    }


def table(rows):
    def cells(row):
        return f"{row['found']:,} of {row['photos']:,}", f"{100 * row['right_of_all']:.1f}"

    return markdown_table(
        [
            "crop by",
            *("web photos: found", "right of all, %", "neutral, %"),
            *("FER2013: found", "right of all, %"),
        ],
        [
            [
                f"`{name.split(': ')[0]}`: {name.split(': ')[1]}",
                *cells(row["web"]),
                f"{100 * row['web']['neutral_right_of_found']:.0f}",
                *cells(row["fer2013"]),
            ]
            for name, row in rows.items()
        ],
    )


if __name__ == "__main__":
    main()
