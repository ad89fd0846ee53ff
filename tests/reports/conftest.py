"""A browser for the tests of pages."""

import os
import shutil

import pytest


@pytest.fixture(scope="package")
def browser():
    if os.environ.get("PGM_CONTROL_TESTS") == "brief":
        pytest.skip("pages are opened from the sources alone; they are the same")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are not opened: playwright is missing")
    program = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if program is None:
        pytest.skip("pages are not opened: Chromium is missing (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=program, args=flags)
        yield running
        running.close()
