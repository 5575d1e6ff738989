"""Checks the architecture: size, imports between files, and what an import loads."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from operator import ne
from pathlib import Path

import pytest

import fer_sklearn

PACKAGE = Path(fer_sklearn.__file__).parent
CONTRIBUTING = PACKAGE.parent / "docs" / "contributing.md"

# The floor of every room, a room being a file or a folder at the package's root, and its contents.
# A file imports from rooms on lower floors and from its own room. The contributing page shows this
# table: `python tests/test_architecture.py` writes it there.
ROOMS = {
    "exceptions": (0, "errors and warnings that callers may catch"),
    "emotions": (0, "the names of the emotions, their codes in data sets, their colours"),
    "_utils": (1, "checks of parameters and pixels, bases of estimators, files, tables, types"),
    "images": (2, "reading, writing, converting and resizing one photo"),
    "weights": (2, "the `.npz` format of the bundled networks"),
    "dask": (2, "the joblib backend that survives a lost worker"),
    "datasets": (3, "loading FER2013, folders and synthetic faces; finding duplicates"),
    "faces": (3, "detecting and cropping faces"),
    "preprocessing": (3, "`GrayscaleResizer`, `RGBResizer` and `PixelNormalizer`"),
    "features": (3, "face descriptors, and transformers that combine them"),
    "evaluation": (3, "metrics, reports, comparisons and benchmarks"),
    "uncertainty": (3, "`AbstainingClassifier`"),
    "svm": (4, "the two support vector classifiers"),
    "cnn": (4, "everything that Keras trains: classifier, architectures, augmentation"),
    "plotting": (4, "displays, and plots of faces"),
    "drawing": (4, "annotated photos and frames"),
    "pipelines": (5, "the `make_*_pipeline` functions and their grids"),
    "inference": (5, "classifiers for LiteRT and ONNX files"),
    "embedding": (5, "embeddings of faces"),
    "pretrained": (6, "`load_pretrained`"),
    "exporting": (6, "LiteRT, ONNX, TensorFlow.js and the web app"),
    "explain": (6, "Grad-CAM, occlusion, face regions, HOG weights"),
    "audit": (6, "label errors, duplicates and bad images in a data set"),
    "persistence": (6, "`save`, `load` and the model card"),
    "face_reader": (7, "`FaceReader`: from a photo to labelled faces"),
    "photos": (8, "emotions in many photos"),
    "video": (8, "emotions in videos and camera streams"),
    "serve": (9, "the HTTP service"),
    "cli": (10, "the command line"),
    "__main__": (11, "`python -m fer_sklearn`"),
    "__init__": (12, "the public names"),
}
FLOORS = {room: floor for room, (floor, _) in ROOMS.items()}
# Besides rooms, the root contains the bundled networks and the files of a typed package.
NOT_ROOMS = {"shipped", "__init__.pyi", "py.typed"}
# Files that are not boxes in a drawing of the house.
MARKERS = {"__init__.pyi", "py.typed"}

MAX_LINES = 600
MAX_BOXES = 32
MAX_FILES = 130
MAX_ROOMS = 34
# What a portrait passes on its way to a row: functions, files, and changes from file to file.
MAX_WAY = (90, 16, 60)

KERAS_ROOMS = {"cnn", "explain", "exporting"}
KERAS = {"keras", "tensorflow", "scikeras"}
# TensorFlow's interpreter runs what LiteRT cannot where it has no wheel.
INTERPRETERS = {"tensorflow.lite.python.interpreter"}
# Loaded inside the function that needs them.
LAZY = {"cv2", "matplotlib"}
# The path from a photo to its rows: reading, detecting, cropping, scaling, the LiteRT interpreter
# and the rows. These files import no slow library; the estimators are elsewhere.
ROAD = (
    *("exceptions.py", "emotions.py", "images.py", "weights.py"),
    *(f"_utils/{name}.py" for name in ("files", "image_files", "litert", "pixel_values")),
    *(f"_utils/{name}.py" for name in ("tables", "typing", "validation")),
    *(f"faces/{name}.py" for name in ("__init__", "_blazeface", "_crop", "_detect")),
    *(f"faces/{name}.py" for name in ("_faces", "_opencv")),
    *(f"photos/{name}.py" for name in ("_recognize", "_rows", "_sources")),
)
SLOW = {"joblib", "pandas", "scipy", "skimage", "sklearn"}
IMPORTERS = {"import_module", "import_optional", "__import__"}
FORBIDDEN_CALLS = {
    "np.random.seed": "a global seed",
    "numpy.random.seed": "a global seed",
    "random.seed": "a global seed",
    "keras.utils.set_random_seed": "a global seed",
    "tf.random.set_seed": "a global seed",
    "tensorflow.random.set_seed": "a global seed",
    "logging.basicConfig": "logging set-up",
    "sys.modules.pop": "a sys.modules edit",
    "sys.modules.update": "a sys.modules edit",
    "sys.modules.setdefault": "a sys.modules edit",
}
# Private names of other packages: `_names`, though not `__dunders__`, and these modules.
PRIVATE = re.compile(r"_(?!_)|__(?!.*__$)")
PRIVATE_MODULES = {("keras", "src"), ("numpy", "core"), ("tensorflow", "python")}
FORBIDDEN_ON_IMPORT = {
    "warnings.filterwarnings": "a global warning filter",
    "warnings.simplefilter": "a global warning filter",
}


def _relative_targets(node, depth):
    """Top-level modules of the package that a relative import in a file `depth` folders deep reads.

    ``None`` stands for the file's own sub-package.
    """
    if node.level <= depth:
        return [None]
    if node.module:
        return [node.module.split(".")[0]]
    return [alias.name for alias in node.names]


def _imports(tree, depth):
    """Yield (line, kind, target) of every import, kind being "own" or "other".

    Own imports for type checkers count too: a reader follows them. Others load nothing.
    """
    unloaded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            for target in _relative_targets(node, depth):
                yield node.lineno, "own", target
        elif id(node) in unloaded:
            continue
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "other", node.module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, "other", alias.name
        elif isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).split(".")[-1]
            first = node.args[0]
            if (
                name in IMPORTERS
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                yield node.lineno, "other", first.value


def _outside_functions(tree):
    """Yield the nodes that run on import, without those for type checkers."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))


def _import_violations(tree, room, depth):
    for line, kind, target in _imports(tree, depth):
        top = None if target is None else target.split(".")[0]
        if kind == "own" and target not in (None, "__version__"):
            if target not in FLOORS:
                yield f"{line}: {target} is not in the table"
            elif FLOORS[target] >= FLOORS[room]:
                yield f"{line}: {room} (floor {FLOORS[room]}) imports {target} ({FLOORS[target]})"
        elif kind == "other" and top == PACKAGE.name:
            yield f"{line}: absolute import of {target} inside the package"
        elif kind == "other" and target in INTERPRETERS and room == "_utils":
            continue
        elif kind == "other" and top in KERAS and room not in KERAS_ROOMS:
            yield f"{line}: {room} imports {top}"
    for node in _outside_functions(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""] if not node.level else []
            for name in names:
                if name.split(".")[0] in LAZY:
                    yield f"{node.lineno}: {name} is imported outside a function"


def _state_violations(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
            called = ast.unparse(node.func)
            yield f"{node.lineno}: {called} is {FORBIDDEN_CALLS[called]}"
        targets = []
        if isinstance(node, (ast.Assign, ast.Delete)):
            targets = node.targets
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        if any(ast.unparse(target).startswith("sys.modules") for target in targets):
            yield f"{node.lineno}: a sys.modules edit"
    for node in _outside_functions(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_ON_IMPORT:
            called = ast.unparse(node.func)
            yield f"{node.lineno}: {called} is {FORBIDDEN_ON_IMPORT[called]}"


def _private_import_violations(tree):
    """Only ``_utils/compat.py`` imports private names of other packages."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if any(PRIVATE.match(part) for part in parts) or tuple(parts[:2]) in PRIVATE_MODULES:
                yield f"{node.lineno}: {name} is private; take it from _utils/compat.py"


def violations(source, room, depth=0, *, allows_private=False):
    """Return the violations in the source of a file in `room`, one line each."""
    tree = ast.parse(source)
    found = [*_import_violations(tree, room, depth), *_state_violations(tree)]
    if not allows_private:
        found.extend(_private_import_violations(tree))
    n_lines = len(source.splitlines())
    if n_lines > MAX_LINES:
        found.append(f"{n_lines} lines; split it")
    return found


def _files():
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        yield pytest.param(path, relative.parts, id=relative.as_posix())


def _room(parts):
    return parts[0].removesuffix(".py")


@pytest.mark.parametrize(("path", "parts"), list(_files()))
def test_file_keeps_to_the_design(path, parts):
    assert _room(parts) in FLOORS, "give the file a floor in the table, here and in the design"
    source = path.read_text(encoding="utf-8")
    allows_private = parts == ("_utils", "compat.py")
    assert violations(source, _room(parts), len(parts) - 1, allows_private=allows_private) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from . import cnn", "1: svm (floor 4) imports cnn (4)"),
        ("def f():\n    from .video import x", "2: svm (floor 4) imports video (8)"),
        ("from .nowhere import x", "1: nowhere is not in the table"),
        ("from fer_sklearn import x", "1: absolute import of fer_sklearn inside the package"),
        ("def f():\n    import keras.ops", "2: svm imports keras"),
        ("import_module('scikeras.wrappers')", "1: svm imports scikeras"),
        ("np.random.seed(0)", "1: np.random.seed is a global seed"),
        ("def f():\n    random.seed(0)", "2: random.seed is a global seed"),
        ("warnings.simplefilter('x')", "1: warnings.simplefilter is a global warning filter"),
        ("logging.basicConfig()", "1: logging.basicConfig is logging set-up"),
        ("sys.modules['x'] = None", "1: a sys.modules edit"),
        ("del sys.modules['x']", "1: a sys.modules edit"),
        ("\n" * (MAX_LINES + 1), f"{MAX_LINES + 1} lines; split it"),
    ],
)
def test_the_rules_find_violations(source, expected):
    assert violations(source, "svm") == [expected]


@pytest.mark.parametrize(
    ("room", "depth", "source", "expected"),
    [
        ("features", 0, "from .svm import x", "1: features (floor 3) imports svm (4)"),
        ("datasets", 1, "from ..svm import x", "1: datasets (floor 3) imports svm (4)"),
        ("plotting", 0, "from tensorflow import nn", "1: plotting imports tensorflow"),
        ("plotting", 0, "from matplotlib import x", "1: matplotlib is imported outside a function"),
        ("faces", 0, "if True:\n    import cv2", "2: cv2 is imported outside a function"),
    ],
)
def test_the_rules_depend_on_the_room(room, depth, source, expected):
    assert violations(source, room, depth) == [expected]


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("svm", "from sklearn.base import _fit_context", "1: sklearn.base._fit_context"),
        ("dask", "def f():\n    from joblib._dask import x", "2: joblib._dask.x"),
        ("cnn", "import keras.src.ops", "1: keras.src.ops"),
    ],
)
def test_the_rules_find_private_names_of_other_packages(room, source, found):
    expected = f"{found} is private; take it from _utils/compat.py"
    assert violations(source, room) == [expected]


@pytest.mark.parametrize(
    ("source", "room", "depth"),
    [
        ("from ._utils.pixels import check_pixels", "svm", 0),
        ("from . import __version__", "persistence", 0),
        ("from ._sources import open_source", "datasets", 1),
        ("from __future__ import annotations", "svm", 0),
        ("from .architectures import build_model\nimport keras", "cnn", 1),
        ("def f():\n    import matplotlib.pyplot as plt", "plotting", 0),
        ("if TYPE_CHECKING:\n    from matplotlib.axes import Axes", "plotting", 0),
        ("if TYPE_CHECKING:\n    from keras import Model", "svm", 0),
        ("def f():\n    warnings.simplefilter('ignore')", "svm", 0),
    ],
)
def test_the_rules_allow_the_design(source, room, depth):
    assert violations(source, room, depth) == []


def _root_entries():
    return {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}


def test_the_root_contains_only_rooms():
    rooms = {name.removesuffix(".py") for name in _root_entries() - NOT_ROOMS}
    assert rooms - set(ROOMS) == set(), "give the room a floor in the table"
    assert {floor for floor, _ in ROOMS.values()} == set(range(13)), "floors are whole numbers"


def _figures():
    """The measures of the package's size, and the limit of each."""
    paths = list(PACKAGE.rglob("*.py"))
    entries = _root_entries()
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return {
        "boxes at the root": (len(entries - MARKERS), MAX_BOXES),
        "Python files": (len(paths), MAX_FILES),
        "rooms": (len(entries - NOT_ROOMS), MAX_ROOMS),
        "lines of the longest file": (max(lines.values()), MAX_LINES),
    }


@pytest.mark.parametrize("name", list(_figures()))
def test_size_of_the_package(name):
    value, most = _figures()[name]
    print(f"{name}: {value} (at most {most})")
    assert value <= most


def _imported_files(path):
    """The files of the package that a file imports, anywhere in it, by their paths."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        if folder.with_suffix(".py").is_file():
            yield folder.with_suffix(".py")
            continue
        for alias in node.names:
            candidates = [folder / f"{alias.name}.py", folder / alias.name / "__init__.py"]
            yield next((file for file in candidates if file.is_file()), folder / "__init__.py")


def test_no_files_import_each_other_in_a_circle():
    root = PACKAGE / "__init__.py"  # It defines the version, and imports the rest lazily.
    graph = {path: set(_imported_files(path)) - {root} for path in PACKAGE.rglob("*.py")}
    assert sum(map(len, graph.values())) > len(graph)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(str(path.relative_to(PACKAGE)) for path in error.args[1]))


_TABLE_BEGINS = "<!-- Written by `python tests/test_architecture.py`. -->\n"
_TABLE_ENDS = "\n<!-- End of what it writes. -->"


def _table_of_rooms():
    existing = {name.removesuffix(".py") for name in _root_entries()} - {"__init__", "__main__"}
    rows = ["| floor | room | contents |", "| --- | --- | --- |"]
    rows += [
        f"| {floor} | `{room}` | {what} |"
        for room, (floor, what) in ROOMS.items()
        if room in existing
    ]
    return "\n".join(rows)


def _split_page():
    before, _, rest = CONTRIBUTING.read_text(encoding="utf-8").partition(_TABLE_BEGINS)
    table, _, after = rest.partition(_TABLE_ENDS)
    return before, table, after


def test_the_contributing_page_shows_the_table():
    assert _split_page()[1].strip() == _table_of_rooms(), "python tests/test_architecture.py"


@pytest.mark.parametrize("name", fer_sklearn.__all__)
def test_exported_name_resolves(name):
    assert getattr(fer_sklearn, name) is not None


def _loaded_after(code, heavy=frozenset(KERAS | LAZY)):
    """Return the heavy libraries that a fresh interpreter has loaded after `code`."""
    heavy = sorted(heavy)
    script = f"import sys\n{code}\nprint(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    assert _loaded_after("import fer_sklearn") == []


def test_public_names_load_without_keras():
    names = sorted(set(fer_sklearn.__all__) - {"export"})
    assert _loaded_after(f"from fer_sklearn import {', '.join(names)}") == []


@pytest.mark.parametrize("module", ["cnn._classifier", "cnn.augmentation", "explain", "inference"])
def test_rooms_that_use_keras_load_without_it(module):
    assert _loaded_after(f"import fer_sklearn.{module}") == []


def _slow_imports(tree):
    """Yield the imports of slow libraries anywhere in a file, except those for type checkers."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        names = []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in SLOW)
        pending.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("name", ROAD)
def test_predicting_a_photo_imports_nothing_slow(name):
    assert list(_slow_imports(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))) == []


def test_predicting_a_photo_loads_nothing_slow():
    modules = [name.removesuffix(".py").replace("/", ".") for name in ROAD]
    modules += ["face_reader", "photos", "video"]
    code = "".join(f"import fer_sklearn.{name}\n" for name in modules)
    assert _loaded_after(code, heavy=SLOW) == []


@pytest.fixture
def photo(tmp_path):
    from skimage.data import astronaut

    from fer_sklearn.images import write_image

    path = tmp_path / "photo.png"
    write_image(path, astronaut())
    return str(path)


def _way(function):
    """Count the package's functions that a call runs, their files, and the changes of file."""
    calls = []

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and Path(code.co_filename).is_relative_to(PACKAGE):
            calls.append((code.co_filename, code.co_qualname))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    calls = [call for call in calls if not call[1].endswith(("comp>", "<genexpr>"))]
    files = [file for file, _ in calls]
    return len(set(calls)), len(set(files)), sum(map(ne, files, files[1:]))


def test_a_photo_takes_a_short_way_to_its_row(tmp_path):
    from skimage.data import astronaut

    from fer_sklearn import predict_photos
    from fer_sklearn.images import write_image

    portrait = tmp_path / "portrait.jpg"
    write_image(portrait, astronaut()[:300, 80:380])

    def predict():
        assert predict_photos([portrait], n_jobs=1, progress=False)["emotion"].item() == "happy"

    predict()  # what is loaded once does not count
    way = _way(predict)
    print("functions, files, changes of file:", way)
    assert all(value <= most for value, most in zip(way, MAX_WAY, strict=True)), way


def test_a_photo_is_classified_without_loading_anything_slow(photo):
    code = f"""
from fer_sklearn import crop_face, detect_faces, read_image
from fer_sklearn._utils.pixel_values import normalize_pixels
from fer_sklearn.images import resize_gray
from fer_sklearn.weights import WeightsNetwork

network = WeightsNetwork("default")
photo = read_image({photo!r})
crops = [crop_face(photo, box, (48, 48)) for box in detect_faces(photo).boxes]
pixels = normalize_pixels(resize_gray(crops, (48, 48)))
y_proba = network(pixels[..., None])
assert network.description["classes"][y_proba[0].argmax()] == "happy", y_proba
"""
    assert _loaded_after(code, heavy=SLOW | KERAS) == []


@pytest.mark.parametrize("model", ["default", "tiny"])
def test_the_command_predicts_without_anything_slow(photo, model):
    code = f"""
import io
from fer_sklearn.cli import main

before, sys.stdout = sys.stdout, io.StringIO()
assert main(["predict", {photo!r}, "--model", {model!r}, "--labels", "fer2013"]) == 0
assert "happy" in sys.stdout.getvalue()
sys.stdout = before
"""
    # A progress bar is for terminals.
    assert _loaded_after(code, heavy=SLOW | KERAS | {"tqdm"}) == []


def test_a_photo_is_recognised_without_anything_slow(photo):
    code = f"""
from fer_sklearn import recognize

faces = recognize({photo!r})
assert faces[0].emotion == "happy" and "happy" in repr(faces) and "<img" in faces._repr_html_()
"""
    assert _loaded_after(code, heavy=SLOW | KERAS | {"tqdm"}) == []


def test_a_table_of_photos_needs_pandas_only(photo):
    code = f"""
from fer_sklearn import iter_photo_rows, predict_photos

(row,) = iter_photo_rows({photo!r})
assert row["emotion"] == "happy" and "pandas" not in sys.modules
assert predict_photos({photo!r})["emotion"].tolist() == ["happy"]
"""
    assert _loaded_after(code, heavy=SLOW | KERAS | {"tqdm"}) == ["pandas"]


def test_the_import_checks_find_slow_imports():
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import scipy\ndef f():\n    from sklearn.base import x"
    )
    assert list(_slow_imports(tree)) == ["sklearn.base"]
    assert _loaded_after("import fer_sklearn.preprocessing", heavy={"sklearn"}) == ["sklearn"]


def test_the_check_sees_a_heavy_library():
    assert _loaded_after("import matplotlib") == ["matplotlib"]


def test_every_file_of_the_package_is_in_the_wheel():
    pyproject = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = pyproject["tool"]["setuptools"]["package-data"]["fer_sklearn"]
    packed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    others = (path for path in PACKAGE.rglob("*") if path.suffix not in (".py", ".pyc"))
    found = {path for path in others if path.is_file() and "node_modules" not in path.parts}
    assert found - packed == set()


if __name__ == "__main__":
    before, _, after = _split_page()
    page = f"{before}{_TABLE_BEGINS}\n{_table_of_rooms()}\n{_TABLE_ENDS}{after}"
    CONTRIBUTING.write_text(page, encoding="utf-8")
