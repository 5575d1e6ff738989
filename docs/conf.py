"""Sphinx configuration: ``python -m sphinx -W -b html docs docs/_build/html``.

Neither the build nor the finished site needs a network connection.
"""

import inspect
import os
import re
import sys
from pathlib import Path

# TensorFlow and matplotlib read these once, so set them before anything is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["MPLBACKEND"] = "Agg"
# The matrices in the examples are small, so several threads would only slow each other down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from docutils import nodes

import fer_sklearn

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "fer_sklearn"
author = "the fer_sklearn developers"
copyright = author
version = release = fer_sklearn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "command_line",
    "notebooks",
]
exclude_patterns = ["_build", "examples", "**.ipynb_checkpoints", "auto_examples/**.ipynb"]
templates_path = ["_templates"]
# `X` in a docstring is a parameter or a value.
default_role = "literal"
nitpicky = True
nitpick_ignore_regex = [
    # Objects of other projects; resolving them would need a network connection.
    ("py:.*", r"(sklearn|keras|matplotlib|numpy|np|pandas|joblib|functools|json)\..*"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "api/generated",
    "doc_module": ("fer_sklearn",),
    "within_subsection_order": "FileNameSortKey",
    "image_srcset": ["2x"],
    "thumbnail_size": (400, 300),
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # its page would load external scripts
    "show_signature": False,
    "remove_config_comments": True,
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": r"matplotlib|Display",
}

html_theme = "pydata_sphinx_theme"
html_title = "fer_sklearn"
html_favicon = str(Path(fer_sklearn.__file__).parent / "exporting" / "web" / "icon.svg")
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "logo": {"text": "fer_sklearn", "image_light": html_favicon, "image_dark": html_favicon},
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "show_nav_level": 1,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
_pages_without_sidebar = ("index", "getting_started", "cookbook", "command_line", "model_card")
_pages_without_sidebar += ("benchmarks", "comparison", "notebooks/*", "changelog", "contributing")
html_sidebars = {name: [] for name in _pages_without_sidebar}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def skip_foreign(app, what, name, obj, skip, options):
    """Skip methods inherited from scikit-learn or Python, which are documented there."""
    if re.fullmatch(r"set_(output|\w+_request)", name):
        return True
    own = (getattr(obj, "__module__", None) or "").startswith("fer_sklearn")
    return True if what == "class" and callable(obj) and not own else None


def describe_constant(app, what, name, obj, options, lines):
    """Use the ``#:`` comment above the definition of a constant as its docstring."""
    if what != "data" or name.endswith(".__version__"):
        return
    attribute = name.rpartition(".")[2]
    for module in [m for m in sorted(sys.modules) if m.startswith("fer_sklearn.")]:
        if sys.modules[module].__dict__.get(attribute) is not obj:
            continue
        source = inspect.getsource(sys.modules[module])
        comment = re.search(rf"((?:^#: ?.*\n)+){attribute}(?:: .+)? = ", source, flags=re.MULTILINE)
        if comment:
            lines[:] = [line.removeprefix("#:").strip() for line in comment[1].splitlines()]
            return
    raise ValueError(f"{name} has no comment starting with '#:' above its definition")


def find_object(objects, name):
    """Return the (name, entry) of a public object, given its name with or without its module."""
    candidates = [name, f"fer_sklearn.{name}"]
    candidates += [found for found in objects if found.endswith(f".{name}")]
    return next(((found, objects[found]) for found in candidates if found in objects), None)


def resolve_short_name(app, env, node, contnode):
    """Resolve a reference such as :class:`Window` to ``fer_sklearn.video.Window``."""
    if node.get("refdomain") != "py":
        return None
    found = find_object(env.get_domain("py").objects, node["reftarget"])
    if found is None:
        return None
    uri = app.builder.get_relative_uri(node["refdoc"], found[1].docname)
    return nodes.reference("", "", contnode, refuri=f"{uri}#{found[1].node_id}", internal=True)


def link_code(app, doctree, docname):
    """Link names such as `FaceCropper` in prose to their pages."""
    objects = app.env.get_domain("py").objects
    for literal in list(doctree.findall(nodes.literal)):
        name = re.fullmatch(r"([A-Za-z_]\w+)(\(.*\))?", literal.astext())
        entry = objects.get(f"fer_sklearn.{name[1]}") if name else None
        inside = (nodes.reference, nodes.title, nodes.term)
        if entry is None or entry.docname == docname or _is_within(literal, inside):
            continue
        uri = app.builder.get_relative_uri(docname, entry.docname)
        link = nodes.reference("", "", refuri=f"{uri}#{entry.node_id}", internal=True)
        literal.replace_self(link)
        link += literal


def join_percent_signs(app, doctree, docname):
    """Keep numbers and their percent signs on one line."""
    for text in list(doctree.findall(nodes.Text)):
        joined = re.sub(r"(?<=\d) %", "\u00a0%", text)
        if joined != text and not _is_within(text, (nodes.literal, nodes.literal_block)):
            text.parent.replace(text, nodes.Text(joined))


def _is_within(node, kinds):
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def link_gallery(app, docname, source):
    """Point links to the script of an example, useful on GitHub, to its gallery page."""
    link = r"\(((?:\.\./)*)examples/(plot_\w+)\.py\)"
    source[0] = re.sub(link, r"(\1auto_examples/\2.rst)", source[0])


def setup(app):
    """Register the functions above with Sphinx."""
    app.connect("source-read", link_gallery)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", describe_constant, priority=1)
    app.connect("missing-reference", resolve_short_name)
    app.connect("doctree-resolved", link_code)
    app.connect("doctree-resolved", join_percent_signs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
