# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Makes one set of pages work on GitHub and on the site: README.md is the site's first page, links out of docs/ lead to
the repository, and KaTeX is the copy that the package carries."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
KATEX = ROOT / "verl_prpo" / "viewer" / "report" / "katex"

LINK = re.compile(r"(?<=\]\()([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the first page and KaTeX to what the site is made of."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=site_page(readme, "", config.repo_url)))
    for file in sorted(KATEX.iterdir()):
        if file.suffix in (".js", ".css", ".woff2"):
            place = "fonts/" if file.suffix == ".woff2" else ""  # where its style sheet looks for them
            files.append(File.generated(config, f"site/katex/{place}{file.name}", abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Send links that leave docs/ to the repository."""
    source = page.file.src_uri
    folder = posixpath.join("docs", posixpath.dirname(source)).rstrip("/")
    return markdown if source == "index.md" else site_page(markdown, folder, config.repo_url)


def site_page(markdown: str, folder: str, repo_url: str) -> str:
    """A page of the repository as a page of the site.

    Args:
        markdown: the page.
        folder: where it lies in the repository, "" for its root.
        repo_url: of the repository.

    Returns:
        The page, with links into docs/ relative to where the page lies on the site, and links to other files of the
        repository as URLs.
    """
    begin = posixpath.relpath(folder, "docs") if folder.startswith("docs/") else "."

    def rewritten(found: re.Match[str]) -> str:
        target = found[1]
        if "://" in target or target.startswith("mailto:"):
            return target
        path = posixpath.normpath(posixpath.join(folder, target))
        inside = path.removeprefix("docs/")
        return posixpath.relpath(inside, begin) if inside != path else f"{repo_url.rstrip('/')}/blob/main/{path}"

    return LINK.sub(rewritten, markdown)
