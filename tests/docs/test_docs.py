"""The documentation builds without warnings, covers the public API, and has no broken links."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

import fer_sklearn
from fer_sklearn import read_image
from fer_sklearn.cli import main
from fer_sklearn.images import resize_rgb

ROOT = Path(__file__).parents[2]
PACKAGE = Path(fer_sklearn.__file__).parent
# Public modules whose contents are internal.
MACHINERY = {"cli"}
GENERATED = ("_build", "auto_examples", "generated", "__pycache__")

pytestmark = pytest.mark.timeout(1500)  # on a busy machine; two or three minutes on an idle one


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the finished site, built once from a copy, and Sphinx's output."""
    for extension in ("sphinx", "sphinx_gallery", "numpydoc", "myst_parser", "sphinx_design"):
        pytest.importorskip(extension, reason="needs the extra: pip install '.[docs]'")
    root = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", root / "docs", ignore=shutil.ignore_patterns(*GENERATED))
    shutil.copytree(ROOT / "benchmarks" / "results", root / "benchmarks" / "results")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html", "docs", "site"],
        cwd=root,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    return root / "site", done


class _Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.update(attributes[name] for name in ("id", "name") if attributes.get(name))
        for name in ("href", "src"):
            if attributes.get(name) and tag != "link":
                self.links.append(attributes[name])


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its path; the theme has a template among its static files."""
    paths = [path for path in site[0].rglob("*.html") if "_static" not in path.parts]
    return {path.resolve(): _Page(path) for path in paths}


@pytest.fixture(scope="module")
def documented(site):
    """The full names of all objects in the reference, in their public modules."""
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site[0] / "objects.inv").read_bytes(), uri="")
    kinds = ("py:function", "py:class", "py:exception", "py:data", "py:attribute")
    names = {name for kind in kinds for name in inventory.data.get(kind, {})}
    return {name for name in names if "._" not in name or name == "fer_sklearn.__version__"}


def test_the_site_builds_without_a_warning(site):
    folder, done = site
    assert done.returncode == 0, done.stderr[-5000:]
    assert "build succeeded." in done.stdout
    assert (folder / "index.html").is_file()


def broken_links(pages):
    """Return every broken link within the site, as "page: link"."""
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            lost = anchor and target in pages and anchor not in pages[target].anchors
            if not target.is_file() or lost:
                broken.append(f"{path.name}: {link}")
    return broken


def test_links_inside_the_site_are_not_broken(pages):
    assert len(pages) > 100
    assert broken_links(pages) == []


def test_external_links_are_well_formed(pages):
    outside = {link for page in pages.values() for link in page.links if urlsplit(link).scheme}
    outside = {link for link in outside if urlsplit(link).scheme not in ("data", "javascript")}
    assert any("arxiv.org" in link or "kaggle.com" in link for link in outside)
    for link in outside:
        parts = urlsplit(link)
        assert parts.scheme == "https", link
        assert "." in parts.netloc, link
        assert not any(character.isspace() or character in "<>\"'`" for character in link), link


def test_the_check_of_links_finds_broken_ones(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#here"></a><a href="b.html#there"></a>'
        '<a href="#top"></a><img src="no.png"><a href="https://a.example/x"></a>'
    )
    (tmp_path / "b.html").write_text('<p id="here"></p>')
    pages = {path.resolve(): _Page(path) for path in tmp_path.glob("*.html")}
    assert broken_links(pages) == ["a.html: b.html#there", "a.html: no.png"]


def test_everything_exported_is_in_the_reference(documented):
    exported = {f"fer_sklearn.{name}" for name in fer_sklearn.__all__}
    assert exported - documented == set()


def _public_modules():
    names = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in (*PACKAGE.iterdir(), *PACKAGE.glob("[a-z]*/*"))
        if _is_module(path)
    }
    return sorted(names - MACHINERY)


def _is_module(path):
    is_public = not path.name.startswith("_")
    return is_public and (path.suffix == ".py" or (path / "__init__.py").is_file())


@pytest.mark.parametrize("name", _public_modules())
def test_every_name_of_a_module_is_in_the_reference(name, documented):
    module = import_module(f"fer_sklearn.{name}")
    missing = [
        public
        for public in module.__all__
        if public not in fer_sklearn.__all__ and f"fer_sklearn.{name}.{public}" not in documented
    ]
    assert missing == []


def test_everything_in_the_reference_is_public(documented):
    unknown = []
    for name in documented:
        path, _, public = name.removeprefix("fer_sklearn.").rpartition(".")
        if name.split(".")[1] in fer_sklearn.__all__:
            continue
        # For a method or an attribute, look up its class.
        while path and path not in _public_modules():
            path, _, public = path.rpartition(".")
        if not path or public not in import_module(f"fer_sklearn.{path}").__all__:
            unknown.append(name)
    assert unknown == []


def _help(capsys, *command):
    """Return the help of a command, and the options that it describes."""
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    text = capsys.readouterr().out
    described = "\n".join(re.findall(r"(?m)^  (-.*?)(?:  |$)", text))
    return text, set(re.findall(r"(?<![\w-])--[\w-]+", described))


def test_every_command_and_option_is_in_the_reference(site, capsys):
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site[0] / "objects.inv").read_bytes(), uri="")
    documented = set(inventory.data["std:cmdoption"])
    text, options = _help(capsys)
    assert {f"fer-sklearn.{option}" for option in options} <= documented
    commands = re.findall(r"(?m)^    ([a-z]+)  ", text.partition("commands:")[2])
    assert {"predict", "video", "train", "serve"} <= set(commands)
    for command in commands:
        _, options = _help(capsys, command)
        assert {"--help", "--debug"} < options
        wanted = {f"fer-sklearn-{command}.{option}" for option in options - {"--help"}}
        assert wanted - documented == set()


def test_the_notebook_is_shown_with_its_outputs(site):
    page = (site[0] / "notebooks" / "fer_with_sklearn.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 5
    assert "the same label for 100.0% of the test images" in page
    assert page.count('class="dataframe"') >= 4


EXAMPLES = sorted((ROOT / "docs" / "examples").glob("plot_*.py"))


def test_there_are_ten_examples_or_more():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_text_of_an_example_begins_below_its_marker(example):
    lines = example.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("# %%") and line != "# %%"] == []


def _shows_something(path):
    picture = read_image(path)
    return min(picture.shape[:2]) >= 80 and picture.std() > 5


def _is_stand_in(path):
    """Whether a thumbnail is sphinx-gallery's placeholder for examples without a figure."""
    sphinx_gallery = pytest.importorskip("sphinx_gallery")
    stand_in = read_image(Path(sphinx_gallery.__file__).parent / "_static" / "no_image.png")
    small = resize_rgb([read_image(path), stand_in], (30, 40))
    return np.abs(np.diff(small.astype(float), axis=0)).mean() < 5


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_its_figure(site, example):
    images = site[0] / "_images"
    pictures = sorted(images.glob(f"sphx_glr_{example.stem}_0*.png"))
    assert pictures
    assert all(_shows_something(path) for path in pictures)
    thumbnail = images / f"sphx_glr_{example.stem}_thumb.png"
    assert _shows_something(thumbnail)
    assert not _is_stand_in(thumbnail)
    page = (site[0] / "auto_examples" / f"{example.stem}.html").read_text(encoding="utf-8")
    assert "Traceback" not in page
    assert "Total running time" in page


def test_a_blank_image_is_detected(tmp_path):
    from fer_sklearn.images import write_image

    write_image(tmp_path / "blank.png", np.full((100, 100), 255, np.uint8))
    assert not _shows_something(tmp_path / "blank.png")


def test_a_stand_in_is_detected(tmp_path):
    gallery = pytest.importorskip("sphinx_gallery.utils")
    stand_in = Path(gallery.__file__).parent / "_static" / "no_image.png"
    gallery.scale_image(stand_in, tmp_path / "thumb.png", 400, 300)
    assert _is_stand_in(tmp_path / "thumb.png")


def test_example_pages_link_to_the_reference(site):
    page = (site[0] / "auto_examples" / f"{EXAMPLES[0].stem}.html").read_text(encoding="utf-8")
    assert "../api/generated/fer_sklearn." in page


def test_the_site_loads_nothing_from_other_servers(pages):
    """A page of the site works offline: scripts, styles and images are part of it."""
    for path in pages:
        page = path.read_text(encoding="utf-8")
        for tag in ("<script src=", '<link rel="stylesheet"', "<img "):
            for part in page.split(tag)[1:]:
                assert "://" not in part.split(">")[0], f"{path.name}: {tag}{part[:120]}"
