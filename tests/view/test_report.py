"""The report: what a reader sees is what the run recorded, and nothing in it can act."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from PIL import Image

from genprm.errors import InputError
from genprm.view import report
from tests.view.chromium import browse
from tests.view.example import example, failed, item, solution, step, vote, write

HOSTILE = "</script></pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">{{7*7}}"


def test_the_report_is_one_file_that_names_nothing_outside_itself(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "run" / "report.html"
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?://", text)


def test_every_step_vote_code_output_and_judgement_is_shown(tmp_path: Path) -> None:
    text = report(example(tmp_path / "run")).read_text(encoding="utf-8")
    for shown in (
        "12 boxes of 3 beads are 32 beads.", "Let me compute it.", "red = beads * 3", "36\ndiffers", "genprm-tiny",
        "first error: step 0", "no error found", "failed steps: budget 1", "2 / 3", "vote 1", "--r:0.065",
    ):  # fmt: skip
        assert shown in text, shown


def test_a_headless_browser_paints_steps_in_the_colours_of_their_rewards(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    picture = tmp_path / "page.png"
    browse(page, tmp_path / "profile", f"--screenshot={picture}", "--window-size=1280,1000")
    with Image.open(picture) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
        assert image.size == (1280, 1000)
    assert colours is not None and len(colours) > 200
    assert any(red > 190 and green < 110 and blue < 100 for _, (red, green, blue) in colours), "no red step"
    assert any(green > 130 and red < 90 for _, (red, green, blue) in colours), "no green step"


def test_scripts_run_and_the_document_holds_all_steps(tmp_path: Path) -> None:
    document = browse(report(example(tmp_path / "run")), tmp_path / "profile", "--dump-dom")
    assert document.count('class="step"') == 6
    assert '<span class="k">print</span>' in document


def test_hostile_text_stays_text_wherever_it_appears(tmp_path: Path) -> None:
    bad = solution(HOSTILE, [HOSTILE], generator=HOSTILE, answer=HOSTILE) | {"problem": HOSTILE}
    turn = step(0.1, printed=HOSTILE + "\n", analysis=HOSTILE, words=HOSTILE)
    run = write(tmp_path / "run", [bad], [vote(HOSTILE, 0, [turn])], [item(HOSTILE, [0.1], 0, 1)])
    page = report(run)
    assert page.read_text(encoding="utf-8").count("<script>") == 1
    document = browse(page, tmp_path / "profile", "--dump-dom")
    assert "<title>run · genprm</title>" in document
    assert "<img" not in document and "{{7*7}}" in document


def test_the_policy_of_the_page_stops_scripts_that_are_not_ours(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<main>", "<main><script>document.title='owned'</script>"), encoding="utf-8")
    assert "<title>owned" not in browse(page, tmp_path / "profile", "--dump-dom")


def test_an_interrupted_run_is_shown_as_far_as_it_got(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [solution("a", ["x", "y"]), solution("b", ["z"])], [vote("a", 0, [step(0.2)])], [])
    with (run / "votes.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"key": "half a li')
    text = report(run).read_text(encoding="utf-8")
    assert text.count('<span class="chip">unfinished</span>') == 2
    assert "--r:0.200" in text and "No vote reached this step." in text


def test_a_failed_step_says_why_and_shows_what_was_written(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run", [solution("a", ["x"])], [vote("a", 0, [failed("budget")])], [item("a", [None], None, 1)]
    )
    text = report(run).read_text(encoding="utf-8")
    assert "No judgement: budget" in text and "and on and on" in text and "not known" in text


def test_a_folder_without_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_hundreds_of_items_render_in_seconds(tmp_path: Path) -> None:
    steps = [step(0.9) for _ in range(5)]
    names = [f"s{number}" for number in range(300)]
    run = write(
        tmp_path / "run",
        [solution(name, ["step"] * 5) for name in names],
        [vote(name, index, steps) for name in names for index in range(4)],
        [item(name, [0.9] * 5, -1, 4) for name in names],
    )
    start = time.perf_counter()
    page = report(run)
    assert time.perf_counter() - start < 20
    assert page.stat().st_size < 30e6
