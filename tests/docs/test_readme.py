"""The Python code of the README and the documentation runs; their command lines exist."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache

import pytest
from pages import COOKBOOK, PAGES, ROOT, code_blocks, command_lines, run_python


@cache
def _help_of(subcommand):
    return subprocess.run(
        [sys.executable, "-m", "fer_sklearn", *subcommand, "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def _identify(page):
    return page.relative_to(ROOT).as_posix()


def _all_command_lines():
    return [
        pytest.param(arguments, id=f"{_identify(page)}: {shlex.join(arguments)}")
        for page in PAGES
        if page.exists()
        for arguments in command_lines(page.read_text(encoding="utf-8"))
    ]


def test_the_readme_shows_python():
    assert code_blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")


def test_the_readme_shows_the_command_line():
    assert command_lines((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if page.parent == ROOT else pytest.mark.slow)
        for page in PAGES
        if page != COOKBOOK  # whose commands are run too
    ],
    ids=_identify,
)
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python(page.read_text(encoding="utf-8"), str(page))


@pytest.mark.parametrize("arguments", _all_command_lines())
def test_command_line_of_a_page_exists(arguments):
    subcommand = [word for word in arguments[:1] if not word.startswith("-")]
    done = _help_of(tuple(subcommand))
    assert done.returncode == 0, done.stderr
    options = [word.split("=")[0] for word in arguments if word.startswith("--")]
    known = set(re.findall(r"--[\w-]+", done.stdout))
    assert set(options) <= known


@pytest.mark.parametrize("page", PAGES, ids=_identify)
def test_extras_of_a_page_exist(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"pip install .*?(?:fer_sklearn|\.)\[([\w,-]+)\]", page.read_text("utf-8"))
    extras = {extra for names in named for extra in names.split(",")}
    assert extras <= set(project["optional-dependencies"])


PAGE = """\
Text.

```python
a = 1
```

- a list

  ```python
  b = a + 1

  c = [b,
       a]
  ```

```bash
$ pip install fer_sklearn && fer-sklearn benchmark --quick  # a minute
fer-sklearn train --data x.zip \\
    --model cnn | tee log
```
"""


def test_blocks_run_in_order_in_one_namespace():
    assert run_python(PAGE, "page.md")["c"] == [2, 1]


def test_a_failing_block_names_its_line():
    with pytest.raises(ZeroDivisionError) as caught:
        run_python("one\n\n```python\nx = 1\n1 / 0\n```\n", "page.md")
    assert caught.traceback[-1].lineno + 1 == 5


def test_command_lines_are_found():
    assert command_lines(PAGE) == [
        ["benchmark", "--quick"],
        ["train", "--data", "x.zip", "--model", "cnn"],
    ]


def measured_tables(page):
    """Yield (path of a result, its text on the page)."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"<!-- (benchmarks/results/\S+\.md) -->\n(.*?)<!-- end -->", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=_identify)
def test_tables_of_a_page_match_the_results(page):
    tables = measured_tables(page)
    assert len(tables) == page.read_text(encoding="utf-8").count("<!-- benchmarks/results/")
    for path, shown in tables:
        assert shown == (ROOT / path).read_text(encoding="utf-8"), path


def test_pages_show_tables_and_images_that_exist():
    assert len(measured_tables(ROOT / "README.md")) >= 1
    assert len(measured_tables(ROOT / "docs" / "benchmarks.md")) >= 3
    assert len(measured_tables(ROOT / "docs" / "model_card.md")) >= 3
    for page in PAGES:
        for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / path).is_file(), path


def test_published_intervals_cover():
    text = (ROOT / "benchmarks" / "results" / "intervals.json").read_text(encoding="utf-8")
    coverage = json.loads(text)["coverage"]
    covered = {
        (population, size, kind): value
        for population, sizes in coverage.items()
        for size, kinds in sizes.items()
        for kind, value in kinds.items()
    }
    assert {size for _, size, _ in covered} == {"100", "300", "3589"}
    assert {key: value for key, value in covered.items() if value < 0.93} == {}


def test_every_benchmark_is_on_their_page():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    scripts = {path.name for path in (ROOT / "benchmarks").glob("[a-z]*.py")}
    assert scripts == set(re.findall(r"[\w/]*?(\w+\.py)`", text))


def test_speed_on_the_page_of_benchmarks_was_measured():
    text = (ROOT / "benchmarks" / "results" / "hog_speed.json").read_text(encoding="utf-8")
    measured = json.loads(text)["results"]["uint8"]["times_as_fast"]
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert re.search(r"about (\d+) times as fast as scikit-image", page)[1] == f"{measured:.0f}"


def test_our_figures_in_the_comparison_were_measured():
    text = (ROOT / "benchmarks" / "results" / "peers.json").read_text(encoding="utf-8")
    networks = {row["network"]: row for row in json.loads(text)["networks"]}
    fer, people, fer2013 = (
        networks[name]
        for name in (
            "`fer` 25.10",
            '`load_pretrained("default", labels="people")`',
            '`load_pretrained("default", labels="fer2013")`',
        )
    )
    measured = [people["people"], fer2013["fer2013"], fer["fer2013"]]
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    shown = re.findall(r"(?m)^\|[^|]*\| ([\d.]+) \|[^|]*\| `benchmarks/peers.py` \|$", page)
    assert shown == [f"{100 * figure['value']:.1f}" for figure in measured]
    assert f"{fer['parameters']:,}" in page
