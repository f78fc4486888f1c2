# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Chromium, and pages opened in it that may neither log nor throw nor ask the network."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import CHROMIUM, DESKTOP, PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A Chromium for the tests of one file. While it runs, Playwright has the event loop that other tests need."""
    from playwright.sync_api import sync_playwright

    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium has none for root
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox, timeout=PATIENCE)
        yield started
        started.close()


@pytest.fixture
def opened(browser: "Browser", file: Path) -> Iterator[Any]:
    """Opens the page; in the end nothing may have been logged, thrown or asked of the network."""
    wrong: list[str] = []
    contexts = []

    def start(where: str = "", page: Path | None = None, **options: Any) -> "Page":
        context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        made = context.new_page()
        made.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        made.on("pageerror", lambda error: wrong.append(str(error)))
        made.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
        made.on("request", lambda request: None if request.url.startswith("file:") else wrong.append(request.url))
        made.goto((page or file).as_uri() + where)
        made.locator("[data-open]").first.wait_for(state="attached")
        return made

    yield start
    for context in contexts:
        context.close()
    assert wrong == []
