"""Types: every public callable has hints, and an editor completes names and parameters."""

import ast
import sys
from importlib import import_module
from pathlib import Path

import jedi
import pytest

import fer_sklearn

PACKAGE = Path(fer_sklearn.__file__).parent


def _public_functions(body, owner=""):
    """Yield (name, node) of each function without a leading underscore, and of each __init__."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node.body, f"{owner}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
            not node.name.startswith("_") or node.name in ("__init__", "__call__")
        ):
            yield f"{owner}{node.name}", node


def _lacks_hints(node, is_method):
    """Whether a parameter or what is returned has no type."""
    arguments = node.args
    parameters = [*arguments.posonlyargs, *arguments.args]
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if is_method and "staticmethod" not in decorators:
        parameters = parameters[1:]
    parameters += [*arguments.kwonlyargs, *filter(None, [arguments.vararg, arguments.kwarg])]
    returns = node.returns is not None or node.name == "__init__"
    return not returns or any(parameter.annotation is None for parameter in parameters)


def without_hints(source):
    """Names of the public functions and methods in a source that lack a hint."""
    return [
        name
        for name, node in _public_functions(ast.parse(source).body)
        if _lacks_hints(node, is_method="." in name)
    ]


def _lacking(room):
    paths = sorted(PACKAGE.glob(f"{room}.py")) + sorted(PACKAGE.glob(f"{room}/**/*.py"))
    return [
        f"{path.relative_to(PACKAGE).as_posix()}: {name}"
        for path in paths
        for name in without_hints(path.read_text(encoding="utf-8"))
    ]


ROOMS = sorted(
    {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
)


STUBS = sorted(PACKAGE.rglob("*.pyi"))


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_stub_agrees_with_its_package(path):
    """Every name of a stub comes from the module that it names, and the package exports all."""
    parts = path.parent.relative_to(PACKAGE.parent).parts
    package = import_module(".".join(parts))
    imports = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ImportFrom)]
    names = [alias.asname for node in imports for alias in node.names]
    assert sorted(names) == sorted(set(package.__all__) - {"__version__"})
    for node in imports:
        module = import_module(f".{node.module}", package.__name__)
        for alias in node.names:
            assert getattr(package, alias.name) is getattr(module, alias.name)


@pytest.mark.parametrize("room", ROOMS)
def test_public_callables_have_hints(room):
    assert _lacking(room) == []


@pytest.mark.parametrize(
    ("source", "lacking"),
    [
        ("def f(x: int) -> int: ...", []),
        ("def f(x) -> int: ...", ["f"]),
        ("def f(x: int): ...", ["f"]),
        ("def f(*, x) -> int: ...", ["f"]),
        ("def f(**x) -> int: ...", ["f"]),
        ("def _f(x): ...", []),
        ("class A:\n    def __init__(self, x: int): ...", []),
        ("class A:\n    def __init__(self, x): ...", ["A.__init__"]),
        ("class A:\n    @staticmethod\n    def f(x) -> int: ...", ["A.f"]),
        ("class A:\n    @classmethod\n    def f(cls) -> int: ...", []),
        ("class A:\n    def f(self, x: int) -> int: ...\n    def _g(self, x): ...", []),
        ("class _A:\n    def f(self, x): ...", []),
    ],
)
def test_the_check_finds_missing_hints(source, lacking):
    assert without_hints(source) == lacking


@pytest.fixture(scope="module")
def complete():
    """Return the completions that an editor offers at the end of some code."""
    project = jedi.Project(PACKAGE.parent, sys_path=[str(PACKAGE.parent), *sys.path])

    def complete(code):
        return {completion.name for completion in jedi.Script(code, project=project).complete()}

    return complete


def test_an_editor_completes_every_public_name(complete):
    assert set(fer_sklearn.__all__) <= complete("from fer_sklearn import ")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("HOGSVMClassifier", {"C=", "kernel=", "random_state="}),
        ("FaceCropper", {"detector=", "framing=", "on_no_face="}),
        ("make_faces", {"n_samples", "size=", "noise=", "random_state="}),
        ("predict_photos", {"output=", "batch_size=", "n_jobs="}),
    ],
)
def test_an_editor_completes_parameters(complete, name, parameters):
    offered = complete(f"from fer_sklearn import {name}\n{name}(")
    assert {parameter.rstrip("=") for parameter in parameters} <= {
        name.rstrip("=") for name in offered
    }


def test_an_editor_completes_the_methods_of_a_new_estimator(complete):
    offered = complete("from fer_sklearn import HOGSVMClassifier\nHOGSVMClassifier(C=1).")
    assert {"fit", "predict", "predict_proba", "set_params"} <= offered
