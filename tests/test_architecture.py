"""Holds the package to its design: which file imports which, and what an import loads."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fer_sklearn

PACKAGE = Path(fer_sklearn.__file__).parent
MAX_LINES = 600

# A file or sub-package imports only from lower floors. Siblings do not import each other;
# the files of a sub-package may.
FLOORS = {
    "exceptions": 0,
    "emotions": 0,
    "_utils": 1,
    "images": 2,
    "weights": 2,
    "dask": 2,
    "datasets": 3,
    "faces": 3,
    "preprocessing": 3,
    "features": 3,
    "evaluation": 3,
    "uncertainty": 3,
    "svm": 4,
    "cnn": 4,
    "plotting": 4,
    "drawing": 4,
    "pipelines": 5,
    "inference": 5,
    "embedding": 5,
    "pretrained": 6,
    "exporting": 6,
    "explain": 6,
    "audit": 6,
    "persistence": 6,
    "face_reader": 7,
    "photos": 8,
    "video": 8,
    "serve": 9,
    "cli": 10,
    "__main__": 11,
    "__init__": 12,
}
KERAS_ROOMS = {"cnn", "explain", "exporting"}
KERAS = {"keras", "tensorflow", "scikeras"}
# Loaded inside the function that needs them.
LAZY = {"cv2", "matplotlib"}
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
# What other packages call private: `_names`, though not `__dunders__`, and these modules.
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
    """Yield (line, kind, target) of every import, kind being "own" or "other"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            for target in _relative_targets(node, depth):
                yield node.lineno, "own", target
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
    """Yield the nodes that run when the file is imported, hence nothing for type checkers alone."""
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
    """Only ``_utils/compat.py`` imports what other packages call private."""
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
    """Return what the source of a file in `room` does against the design, a line each."""
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
    ("source", "room", "depth", "expected"),
    [
        (
            "from .svm import HOGSVMClassifier",
            "features",
            0,
            "1: features (floor 3) imports svm (4)",
        ),
        ("from . import cnn", "svm", 0, "1: svm (floor 4) imports cnn (4)"),
        ("def f():\n    from .video import x", "svm", 0, "2: svm (floor 4) imports video (8)"),
        ("from ..svm import x", "datasets", 1, "1: datasets (floor 3) imports svm (4)"),
        ("from .nowhere import x", "svm", 0, "1: nowhere is not in the table"),
        (
            "from fer_sklearn import EMOTIONS",
            "svm",
            0,
            "1: absolute import of fer_sklearn inside the package",
        ),
        ("def f():\n    import keras.ops", "svm", 0, "2: svm imports keras"),
        ("from tensorflow import nn", "plotting", 0, "1: plotting imports tensorflow"),
        ("import_module('scikeras.wrappers')", "svm", 0, "1: svm imports scikeras"),
        ("if True:\n    import cv2", "faces", 0, "2: cv2 is imported outside a function"),
        (
            "from matplotlib import pyplot",
            "plotting",
            0,
            "1: matplotlib is imported outside a function",
        ),
        ("np.random.seed(0)", "svm", 0, "1: np.random.seed is a global seed"),
        ("def f():\n    random.seed(0)", "svm", 0, "2: random.seed is a global seed"),
        (
            "warnings.simplefilter('ignore')",
            "svm",
            0,
            "1: warnings.simplefilter is a global warning filter",
        ),
        ("logging.basicConfig()", "svm", 0, "1: logging.basicConfig is logging set-up"),
        ("sys.modules['x'] = None", "svm", 0, "1: a sys.modules edit"),
        ("del sys.modules['x']", "svm", 0, "1: a sys.modules edit"),
        (
            "from sklearn.base import _fit_context",
            "svm",
            0,
            "1: sklearn.base._fit_context is private; take it from _utils/compat.py",
        ),
        (
            "def f():\n    from joblib._dask import x",
            "dask",
            0,
            "2: joblib._dask.x is private; take it from _utils/compat.py",
        ),
        (
            "import keras.src.ops",
            "cnn",
            0,
            "1: keras.src.ops is private; take it from _utils/compat.py",
        ),
        ("\n" * (MAX_LINES + 1), "svm", 0, f"{MAX_LINES + 1} lines; split it"),
    ],
)
def test_the_rules_find_what_they_forbid(source, room, depth, expected):
    assert violations(source, room, depth) == [expected]


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
        ("def f():\n    warnings.simplefilter('ignore')", "svm", 0),
    ],
)
def test_the_rules_allow_what_the_design_allows(source, room, depth):
    assert violations(source, room, depth) == []


def test_every_exported_name_has_a_known_module():
    assert set(fer_sklearn._EXPORTS.values()) <= set(FLOORS)


@pytest.mark.parametrize("name", fer_sklearn.__all__)
def test_exported_name_resolves(name):
    assert getattr(fer_sklearn, name) is not None


def _loaded_after(code):
    """Which heavy libraries a fresh interpreter has loaded after `code`."""
    heavy = sorted(KERAS | LAZY)
    script = f"import sys\n{code}\nprint(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    assert _loaded_after("import fer_sklearn") == []


def test_only_the_cnn_loads_keras():
    names = sorted(set(fer_sklearn.__all__) - {"FERCNNClassifier", "export", "load_pretrained"})
    assert _loaded_after(f"from fer_sklearn import {', '.join(names)}") == []


@pytest.mark.parametrize("module", ["cnn", "cnn.augmentation", "explain", "inference"])
def test_room_beside_keras_loads_without_it(module):
    assert _loaded_after(f"import fer_sklearn.{module}") == []


def test_the_check_sees_a_heavy_library():
    assert _loaded_after("import matplotlib") == ["matplotlib"]
