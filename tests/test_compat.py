"""Private names of other packages: each exists, has a reason, and is still needed."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import fer_sklearn
from fer_sklearn._utils import compat

PACKAGE = Path(fer_sklearn.__file__).parent
PARTS = compat.PRIVATE_NAMES | compat.PRIVATE_ATTRIBUTES


@pytest.mark.parametrize("name", PARTS)
def test_installed_version_has_the_private_part(name):
    assert PARTS[name].load() is not None


@pytest.mark.parametrize("name", compat.PRIVATE_NAMES)
def test_name_imports_from_compat(name):
    assert getattr(compat, name) is compat.PRIVATE_NAMES[name].load()
    assert name in compat.__all__


@pytest.mark.parametrize("name", PARTS)
def test_private_part_is_still_needed(name):
    files = (path for path in PACKAGE.rglob("*.py") if path.name != "compat.py")
    assert any(name in path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("name", PARTS)
def test_entry_gives_versions_that_the_package_allows_and_a_reason(name):
    part = PARTS[name]
    requirement = Requirement(part.requirement)
    operators = sorted(spec.operator for spec in requirement.specifier)
    assert operators == ["<", ">="]
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    declared = [Requirement(text) for text in project["project"]["dependencies"]]
    lowest = [
        spec.version
        for declared_requirement in declared
        if declared_requirement.name == requirement.name
        for spec in declared_requirement.specifier
        if spec.operator == ">="
    ]
    assert [spec.version for spec in requirement.specifier if spec.operator == ">="] == lowest
    assert len(part.reason.split()) > 3


@pytest.mark.parametrize("where", ["sklearn.base:_no_such_name", "sklearn._no_such_module:name"])
def test_missing_part_is_named_with_the_versions_that_have_it(where):
    part = compat.PrivatePart(where, "scikit-learn>=1.8,<1.10", "a test needs it")
    with pytest.raises(ImportError) as raised:
        part.load()
    assert where in str(raised.value)
    assert "pip install 'scikit-learn>=1.8,<1.10'" in str(raised.value)


def test_unknown_name_is_rejected():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = compat.nonsense


def test_importing_compat_loads_no_other_package():
    script = (
        "import sys, fer_sklearn._utils.compat\n"
        "print(*sorted({'sklearn', 'joblib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
