"""Headless Chromium for the tests: a page's picture, its document after scripts ran, and what its console says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def browse(page: Path, profile: Path, *options: str) -> str:
    """Run Chromium on a local page and return what it prints. Skips the test where there is no Chromium."""
    return _run(page, profile, *options).stdout


def complaints(page: Path, profile: Path) -> list[str]:
    """What the console of the browser says of a page: errors of its scripts, and what its policy stopped."""
    found = _run(page, profile, "--dump-dom", "--enable-logging=stderr")
    return [line for line in found.stderr.splitlines() if ":CONSOLE" in line]


def after(page: Path, profile: Path, script: str) -> str:
    """The document after a script of the test ran in a copy of the page, whose own policy would not let it."""
    text = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page.read_text(encoding="utf-8"))
    copy = profile.with_suffix(".html")
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return browse(copy, profile, "--dump-dom")


def _run(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium; on Debian: apt-get install chromium")
    command = [program, *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
