"""Headless Chromium for the tests: a page's picture, its document after scripts ran, and what its console says."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def browse(page: Path, profile: Path, *options: str, at: str = "") -> str:
    """Run Chromium on a local page, at a place in it, and return what it prints. Skips where there is no Chromium."""
    return _run(page, profile, *options, at=at).stdout


def complaints(page: Path, profile: Path) -> list[str]:
    """What the console of the browser says of a page: errors of its scripts, and what its policy stopped."""
    found = _run(page, profile, "--dump-dom", "--enable-logging=stderr")
    return [line for line in found.stderr.splitlines() if ":CONSOLE" in line]


def after(page: Path, profile: Path, script: str, *, at: str = "") -> list[str]:
    """What a script of the test says with ``say``: it runs, as the body of an asynchronous function, in a copy of the
    page, whose own policy would not let it. ``settled()`` waits until the page has drawn what it loads."""
    text = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page.read_text(encoding="utf-8"))
    copy = page.with_name(f"{profile.name}.html")
    copy.write_text(
        text.replace("</body>", f"<script>{_TOOLS}(async () => {{ {script} }})();</script></body>"), "utf-8"
    )
    shown = browse(copy, profile, "--dump-dom", "--virtual-time-budget=20000", at=at)
    copy.unlink()
    return re.findall(r"<output>(.*?)</output>", shown, re.DOTALL)


_TOOLS = """
const say = (text) => document.body.append(h("output", {}, String(text)));
const settled = () => new Promise((done) => setTimeout(done, 400));
const hit = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const listed = () => shown.map((index) => data.rows[index][0]).join(" ");
"""


def watch(page: Path, profile: Path, last: str) -> list[str]:
    """What the console says of a page, in real time, until it says ``last``, for at most a minute."""
    command = [_program(), *FLAGS, f"--user-data-dir={profile}", "--enable-logging=stderr", "--remote-debugging-port=0"]
    said = []
    with subprocess.Popen([*command, page.as_uri()], stderr=subprocess.PIPE, text=True, errors="replace") as browser:
        watchdog = threading.Timer(60, browser.kill)
        watchdog.start()
        for line in browser.stderr or ():
            said += re.findall(r':CONSOLE.*?\] "(.*?)", source:', line)
            if said[-1:] == [last]:
                break
        watchdog.cancel()
        browser.terminate()
    return said


def _run(page: Path, profile: Path, *options: str, at: str = "") -> subprocess.CompletedProcess[str]:
    command = [_program(), *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri() + at]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)


def _program() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium; on Debian: apt-get install chromium")
    return program
