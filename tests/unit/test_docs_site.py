# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The documentation site builds without a warning, and what pages show is what the package does."""

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_architecture import FLOORS

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LARGEST_IMAGE = 300_000
"""Bytes of an image in a page."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a page that no menu names, a link or an anchor that leads nowhere is an error."""
    if not os.environ.get("CI"):  # there a missing package is a failure
        pytest.importorskip("mkdocs", reason="the docs extra is not installed")
        pytest.importorskip("mkdocstrings", reason="the docs extra is not installed")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_first_page_is_the_readme_with_links_that_lead_into_the_site(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert 'src="figures/method.png"' in page and (site / "figures" / "method.png").is_file()
    assert 'href="method/"' in page and (site / "method" / "index.html").is_file()
    assert 'href="docs/' not in page and 'src="docs/' not in page
    home = re.search(r"^repo_url: (\S+)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert home and f'href="{home[1]}/blob/main/CONTRIBUTING.md"' in page


def test_lists_and_tables_are_rendered_on_every_page(site: Path) -> None:
    """Markdown that GitHub takes for a list or a table, and the site for a paragraph."""
    wrong = []
    for page in site.rglob("index.html"):
        for paragraph in re.findall(r"<p>(.*?)</p>", page.read_text(encoding="utf-8"), re.DOTALL):
            if re.search(r"^\s*(\||[-*] |\d+\. )|\|\s*-{3}|```", paragraph, re.MULTILINE):
                wrong.append((page.parent.name, paragraph[:80]))
    assert wrong == []


def test_formulas_and_docstrings_are_there(site: Path) -> None:
    method = (site / "method" / "index.html").read_text(encoding="utf-8")
    assert method.count('class="arithmatex"') > 20
    katex = site / "site" / "katex"
    fonts = re.findall(r"url\((fonts/[\w-]+\.woff2)\)", (katex / "katex.min.css").read_text(encoding="utf-8"))
    assert (katex / "katex.min.js").is_file() and fonts and all((katex / font).is_file() for font in fonts)
    api = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert "least distance between two cuts" in api and "Token-level advantages from segment scores" in api


def test_every_public_name_is_on_the_api_page() -> None:
    import verl_prpo

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    there = [name for name in verl_prpo.__all__ if importlib.util.find_spec(verl_prpo._MODULES[name])]
    assert len(there) >= 6 and [name for name in there if f"::: verl_prpo.{name}\n" not in page] == []


def test_links_out_of_the_docs_lead_to_the_repository() -> None:
    pytest.importorskip("mkdocs", reason="the docs extra is not installed")
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    try:
        from hooks import site_page
    finally:
        sys.path.pop(0)
    given = (
        "[a](../examples/toy/prm.py) [b](prm.md#the-table) [c](https://arxiv.org) [d](#here) ![e](figures/method.png)"
    )
    assert site_page(given, "docs", "https://host/us/") == (
        "[a](https://host/us/blob/main/examples/toy/prm.py) [b](prm.md#the-table) [c](https://arxiv.org) [d](#here) "
        "![e](figures/method.png)"
    )
    given = "[a](../guide.md#how) [b](runs.jsonl) [c](../../examples/study/plan.py) ![d](recall.png)"
    assert site_page(given, "docs/evidence", "https://host/us") == (
        "[a](../guide.md#how) [b](runs.jsonl) [c](https://host/us/blob/main/examples/study/plan.py) ![d](recall.png)"
    )
    assert site_page("[a](docs/prm.md#x) [b](LICENSE)", "", "https://host/us") == (
        "[a](prm.md#x) [b](https://host/us/blob/main/LICENSE)"
    )


def test_the_figure_of_the_method_is_computed_by_the_package() -> None:
    """z = (r - 0.5) / sqrt(1/12), beta = -1 - 0; GRPO: -1 / (n - 1 std of two 1 and two -1)."""
    sys.path.insert(0, str(ROOT / "docs" / "figures"))
    try:
        from draw import TOKENS, worked_example
    finally:
        sys.path.pop(0)
    example = worked_example()
    assert example.bounds == [(0, 13), (13, 23), (23, 32)] and len(TOKENS) == 32
    paid = [round(float(example.prpo[begin]), 2) for begin, _ in example.bounds]
    assert paid == [0.49, -2.56, -2.0] and {round(a, 4) for a in example.grpo.tolist()} == {-0.866}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "+0.49" in readme and "-2.56" in readme and "-2.00" in readme and "-0.87" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_python_print_what_the_page_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    block = r"((?:(?!```).)*)```"
    for code, printed in re.findall(rf"```python\n{block}\n\nIt prints\n\n```text\n{block}", text, re.DOTALL):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, {})
        assert out.getvalue() == printed


def test_the_architecture_page_has_the_floors_of_the_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"\n{' '.join(FLOORS)}\n" in page
    tree = page.split("verl_prpo/\n")[1].split("recipes/")[0]
    assert set(re.findall(r"^  (\w+)/ ", tree, re.MULTILINE)) == set(FLOORS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    folders = "verl_prpo|examples|tests|recipes|benchmarks|docs"
    named = re.findall(rf"`((?:{folders})/[\w./-]+\.(?:py|sh|yaml|md|in))`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_table_of_the_readme_is_that_of_the_evidence() -> None:
    readme, evidence = (ROOT / "README.md").read_text("utf-8"), (ROOT / "docs" / "evidence.md").read_text("utf-8")
    table = "\n".join(line for line in evidence.splitlines() if line.startswith("|"))
    assert table.count("\n") == 6 and table in readme


def test_images_are_small() -> None:
    assert [file for file in (ROOT / "docs" / "figures").glob("*.png") if file.stat().st_size > LARGEST_IMAGE] == []
