"""The report: what a reader sees is what the run recorded, and nothing in it can act."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from genprm.curate.human import read_annotations
from genprm.errors import InputError
from genprm.records.lines import write_lines
from genprm.view import bundle, report
from tests.view.chromium import after, browse, complaints
from tests.view.document import Document
from tests.view.example import example, failed, item, solution, step, vote, write
from tests.view.scripted import lines

HOSTILE = "</script></pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">{{7*7}}"


def test_the_report_is_one_file_that_names_nothing_outside_itself(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "run" / "report.html"
    assert not re.search(r"src\s*=\s*[\"']|url\(|@import|https?://", text)
    assert all(link.startswith("#f=") for link in Document(page).links)
    assert sorted(path.name for path in page.parent.iterdir() if path.suffix not in (".jsonl", ".yaml")) == [
        "report.html"
    ]


def test_every_step_vote_code_output_and_judgement_is_shown(tmp_path: Path) -> None:
    page = Document(report(example(tmp_path / "run")))
    assert [item.chip for item in page.items] == ["step 0", "no error", "no error"]
    assert [item.mark for item in page.items] == ["same", "same", "other"]
    assert page.tiles["failed steps: budget 1"] == "1" and page.items[0].strip == [0.065, 0.6]
    votes = page.items[0].detail["votes"]
    assert [vote["vote"] for vote in votes] == [0, 1]
    blocks = votes[0]["steps"][0]["blocks"]
    assert [kind for kind, _, _ in blocks] == ["words", "code", "output"]
    assert "Let me compute it." in blocks[0][1] and "red = beads * 3" in blocks[1][1] and blocks[2][1] == "36\ndiffers"


def test_filters_are_what_their_names_say(tmp_path: Path) -> None:
    wanted = {
        "wrong": ["beads-3"], "split": ["beads-1"], "error": ["beads-1"], "clean": ["beads-2", "beads-3"],
        "failed": ["beads-3"], "failed-budget": ["beads-3"], "right": ["beads-1", "beads-2"], "unsettled": [],
        "conflict": [], "code-failed": [], "hit-error": ["beads-1"], "correct": ["beads-2"], "code-ok": None,
    }  # fmt: skip
    items = Document(report(example(tmp_path / "run"))).items
    for tag, ids in wanted.items():
        assert [item.id for item in items if tag in item.tags] == (ids if ids is not None else [i.id for i in items]), (
            tag
        )


@pytest.mark.parametrize(
    ("code", "printed", "tags"),
    [
        ([{"source": "1 / 0", "status": "error", "output": "Code execute Error: E: 0"}], "", ["code-failed"]),
        ([{"source": "print(1 == 2)", "status": "ok", "output": "False\n"}], "False\n", ["conflict"]),
        ([{"source": "print(1 == 1)", "status": "ok", "output": "True\n"}], "True\n", []),
        ([{"source": "print(1 == 2)", "status": "not_run", "output": "False\n"}], "False\n", []),
    ],
)  # fmt: skip
def test_code_that_failed_or_contradicts_its_judgement_is_found(
    code: list[dict[str, str]], printed: str, tags: list[str], tmp_path: Path
) -> None:
    judged = step(0.9, printed=printed) | {"code": code}
    run = write(tmp_path / "run", [solution("a", ["x"])], [vote("a", 0, [judged])], [item("a", [0.9], -1, 1)])
    (shown,) = Document(report(run)).items
    assert [tag for tag in ("code-failed", "conflict") if tag in shown.tags] == tags


def test_a_figure_leads_to_the_items_it_counts_and_they_name_their_lines(tmp_path: Path) -> None:
    run = example(tmp_path / "run")
    page = Document(report(run))
    known = {tag for item in page.items for tag in item.tags} | {""}
    linked = {tag for link in page.links for tag in unquote(link).removeprefix("#f=").split(",")}
    bars = {f"r{place}" for place, count in enumerate(page.bars) if not count}
    assert linked - bars <= known and {"voted", "judged", "code-ok", "failed-budget", "right", "c0", "c9"} <= linked
    for one in page.items:
        places = [*one.detail["places"], *(vote["place"] for vote in one.detail["votes"])]
        assert len(places) == 4
        for place in places:
            name, _, number = place.partition(":")
            assert lines(run / name)[int(number) - 1]["id"] == one.id


def test_calibration_and_curve_are_drawn_where_records_carry_labels(tmp_path: Path) -> None:
    run = example(tmp_path / "run")
    text = report(run).read_text(encoding="utf-8")
    assert "0 of 1 steps right, mean reward 0.07" in text and "2 votes: F1 66.7" in text
    bare = [{k: v for k, v in one.items() if k != "label"} for one in lines(run / "solutions.jsonl")]
    write_lines(run / "solutions.jsonl", bare)
    assert 'id="calibration"' not in (text := report(run).read_text(encoding="utf-8")) and 'id="curve"' not in text


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


@pytest.mark.parametrize(("options", "bright"), [((), True), (("--force-dark-mode",), False)])
def test_the_page_is_as_dark_as_the_reader_likes_it(options: tuple[str, ...], bright: bool, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    page = report(example(tmp_path / "run"))
    browse(page, tmp_path / "profile", f"--screenshot={picture}", "--window-size=400,300", *options)
    with Image.open(picture) as image:
        corner = image.convert("L").getpixel((2, 2))
    assert isinstance(corner, int) and (corner > 200) == bright and (corner < 60) != bright


def test_an_address_opens_an_item_a_step_and_all_votes_side_by_side(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    document = browse(page, tmp_path / "profile", "--dump-dom", at="#i=beads-3&t=1&v=all")
    assert document.count('class="vote"') + document.count('class="vote unknown"') == 2
    assert "No judgement: budget" in document and "There are 36 beads." in document
    assert 'id="row-2" aria-selected="true"' in document and 'id="row-0" aria-selected="false"' in document
    document = browse(page, tmp_path / "other", "--dump-dom")
    assert document.count('class="vote"') == 1 and '<span class="k">print</span>' in document


def test_keys_lead_through_items_steps_and_votes(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    script = """for (const key of ["j", "j", "k", "l", "v", "ArrowDown", "ArrowUp", "k", "a"]) {
        hit(key); await settled(); say([state.i, state.t, state.v].join(" ")); }"""
    assert after(page, tmp_path / "keys", script) == [
        "beads-2 0 0", "beads-3 0 0", "beads-2 0 0", "beads-2 1 0", "beads-2 1 1", "beads-3 0 0", "beads-2 0 0",
        "beads-1 0 0", "beads-1 0 all",
    ]  # fmt: skip


def test_annotations_are_what_curation_reads_as_labels_of_people(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    script = """hit("1"); hit("j"); await settled(); hit("n"); hit("j"); await settled(); hit("9"); hit("0");
        say(annotations()); say(localStorage.length); hit("u"); say(annotations());
        say(document.querySelectorAll(".row .note").length);"""
    said, stored, undone, badges = after(page, tmp_path / "annotated", script)
    (tmp_path / "a.jsonl").write_text(said, encoding="utf-8")
    assert read_annotations(tmp_path / "a.jsonl") == {"beads-1": 1, "beads-2": -1, "beads-3": 0}
    assert undone == said[: said.index('{"id":"beads-3"')] and (stored, badges) == ("1", "2")


def test_two_digits_name_a_step_beyond_the_ninth(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [solution("a", ["x"] * 12)], [], [])
    script = 'hit("1"); hit("1"); say(annotations()); hit("5"); say(annotations());'
    found = [json.loads(line)["label"] for line in after(report(run), tmp_path / "digits", script)]
    assert found == [11, 5]


def test_hiding_verdicts_leaves_nothing_that_tells_them(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    script = """hit("b"); for (const name of [".chip", ".strip", ".cells", ".truth", "#item .facts"])
        say(getComputedStyle(document.querySelector(name)).visibility);"""
    assert set(after(page, tmp_path / "blind", script)) == {"hidden"}


def test_sorting_puts_what_is_not_known_last(tmp_path: Path) -> None:
    run = example(tmp_path / "run")
    with (run / "solutions.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(solution("new", ["x"])) + "\n")
    script = "for (const key of ['lowest', '-lowest']) { change('s', key); say(listed()); }"
    assert after(report(run), tmp_path / "sorted", script) == [
        "beads-1 beads-3 beads-2 new", "beads-2 beads-3 beads-1 new",
    ]  # fmt: skip


def test_hostile_text_stays_text_wherever_it_appears(tmp_path: Path) -> None:
    bad = solution(HOSTILE, [HOSTILE], generator=HOSTILE, answer=HOSTILE) | {"problem": HOSTILE}
    turn = step(0.1, printed=HOSTILE + "\n", analysis=HOSTILE, words=HOSTILE)
    run = write(tmp_path / "run", [bad], [vote(HOSTILE, 0, [turn])], [item(HOSTILE, [0.1], 0, 1)])
    page = report(run)
    assert page.read_text(encoding="utf-8").count("<script") == 2
    document = browse(page, tmp_path / "profile", "--dump-dom", at="#f=%3Cscript%3E&q=%3Cimg%20src=x%3E")
    assert "<title>run · genprm</title>" in document and "<img" not in document
    document = browse(page, tmp_path / "profile", "--dump-dom")
    assert "<title>run · genprm</title>" in document
    assert "<img" not in document and "{{7*7}}" in document


def test_a_large_report_lies_in_parts_that_its_page_loads_and_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Document(report(example(tmp_path / "run"))).items
    monkeypatch.setattr(bundle, "INLINE", 2000)
    monkeypatch.setattr(bundle, "PART", 1000)
    run = tmp_path / "run"
    with (run / "solutions.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(solution("bad", [HOSTILE, "quite unlike the rest"])) + "\n")
    page = report(run)
    shown = Document(page).items
    assert [one.detail for one in shown][:3] == [one.detail for one in whole]
    (folder,) = (run / "report").iterdir()
    assert len(list(folder.iterdir())) == 4 and complaints(page, tmp_path / "profile") == []
    document = browse(page, tmp_path / "second", "--dump-dom", "--virtual-time-budget=9000", at="#i=bad")
    assert "quite unlike" in document and "<title>run · genprm</title>" in document and "<img" not in document
    script = "await settled(); await settled(); say(listed()); say($('said').textContent);"
    found, said = after(page, tmp_path / "searched", script, at="#q=unlike+QUITE")
    assert found == "bad" and said == "1 of 4"


def beside(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of a run, every item of it in a part of its own."""
    monkeypatch.setattr(bundle, "INLINE", 0)
    monkeypatch.setattr(bundle, "PART", 1)
    return report(run)


@pytest.mark.parametrize("lies", ["in the page", "beside it"])
def test_a_search_looks_at_problem_steps_rationales_code_and_output(
    lies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solutions = [solution(f"s{n}", ["plain"]) for n in range(5)]
    solutions[0]["problem"] += " Ünïcode <Zebra>"
    solutions[1]["steps"] = ['A "quoted" walrus']
    analyses = {2: "An ocelot\nand a back\\slash", 3: "of no animal"}
    votes = [vote(f"s{n}", 0, [step(0.9, analysis=text)]) for n, text in analyses.items()]
    votes.append(vote("s4", 0, [step(0.9, printed="a toad\n")]))
    run = write(tmp_path / "run", solutions, votes, [item(f"s{n}", [0.9], -1, 1) for n in range(5)])
    page = report(run) if lies == "in the page" else beside(run, monkeypatch)
    asked = {
        "zebra": "s0", "<zebra>": "s0", "ÜNÏCODE": "s0", '"quoted" WALRUS': "s1", "ocelot": "s2", "back\\slash": "s2",
        "toad": "s4", "red = beads": "s2 s3 s4", "jeweller animal": "s3", "S1": "s1", "gnu": "",
    }  # fmt: skip
    script = f"""for (const words of {json.dumps(list(asked))}) {{
        change("q", words); await settled(); await settled(); say(listed()); }}"""
    assert after(page, tmp_path / "searched", script) == list(asked.values())


def test_a_slash_goes_to_the_search_and_what_is_typed_there_is_no_key(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    script = """const said = () => say(document.activeElement.id);
        hit("/"); said(); const field = document.activeElement;
        field.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true })); say(annotations());
        field.value = "beads-3"; field.dispatchEvent(new Event("input")); await settled(); say(listed());
        field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true })); said();"""
    assert after(page, tmp_path / "slash", script) == ["search", "", "beads-3", "list"]


def test_every_line_that_an_item_rests_on_is_a_link_into_the_run_directory(tmp_path: Path) -> None:
    run = example(tmp_path / "run")
    page = report(run)
    script = """open(0, "0", "all"); await settled();
        for (const one of document.querySelectorAll("#item .places a, #item .top a"))
            say([one.textContent, decodeURIComponent(one.getAttribute("href"))].join(" | "));"""
    found = [unescape(one).split(" | ") for one in after(page, tmp_path / "linked", script)]
    assert [place for place, _ in found] == ["votes.jsonl:1", "votes.jsonl:2", "solutions.jsonl:1", "items.jsonl:1"]
    for place, link in found:
        (name, number), (file, _, text) = place.split(":"), link.partition("#:~:text=")
        (line,) = [n for n, raw in enumerate((run / file).read_text("utf-8").splitlines(), start=1) if text in raw]
        assert (file, str(line)) == (name, number)


def test_a_page_finds_no_parts_that_were_written_in_another_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = example(tmp_path / "run")
    beside(run, monkeypatch)
    (before,) = (run / "report").iterdir()
    monkeypatch.setattr(bundle, "_FORM", b"another")
    report(run)
    (now,) = (run / "report").iterdir()
    assert now.name != before.name


def test_what_an_earlier_report_left_is_removed_and_what_others_left_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = example(tmp_path / "run")
    monkeypatch.setattr(bundle, "INLINE", 2000)
    report(run)
    (run / "report/notes").mkdir()
    first = {path.name for path in (run / "report").iterdir()}
    (run / "items.jsonl").unlink()
    report(run)
    second = {path.name for path in (run / "report").iterdir()}
    assert len(first) == len(second) == 2 and first & second == {"notes"}
    monkeypatch.undo()
    report(run)
    assert [path.name for path in (run / "report").iterdir()] == ["notes"]


def test_a_report_that_fails_half_way_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = example(tmp_path / "run")
    monkeypatch.setattr(bundle, "INLINE", 1000)
    monkeypatch.setattr(bundle, "PART", 500)
    before = report(run).read_bytes()
    with (run / "solutions.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "last", "problem": 3, "steps": ["x"]}\n')
    with pytest.raises(InputError, match=r"solutions\.jsonl, line 4, field 'problem'"):
        report(run)
    assert (run / "report.html").read_bytes() == before and len(list((run / "report").iterdir())) == 1
    assert len(Document(run / "report.html").items) == 3


def test_the_same_run_makes_the_same_page(tmp_path: Path) -> None:
    run = example(tmp_path / "run")
    assert report(run).read_bytes() == report(run).read_bytes()


def test_votes_that_the_verdict_does_not_rest_on_are_told_apart(tmp_path: Path) -> None:
    votes = [vote("a", 0, [step(0.9)]), vote("a", 1, [step(0.1, 32)])]
    run = write(tmp_path / "run", [solution("a", ["x"])], votes, [item("a", [0.9], -1, 1)])
    (shown,) = Document(report(run)).items
    assert [one["counted"] for one in shown.detail["votes"]] == [True, False] and "split" not in shown.tags


def test_of_a_vote_that_was_written_twice_the_last_line_stands(tmp_path: Path) -> None:
    votes = [vote("a", 1, [step(0.8)]), vote("a", 0, [step(0.9)]), vote("a", 0, [step(0.2, 32)])]
    run = write(tmp_path / "run", [solution("a", ["x"])], votes, [])
    (shown,) = Document(report(run)).items
    assert [(one["vote"], one["place"]) for one in shown.detail["votes"]] == [
        (0, "votes.jsonl:3"),
        (1, "votes.jsonl:1"),
    ]
    assert shown.strip == [0.5]


def test_an_item_of_a_cascade_shows_the_votes_of_the_mode_that_decided(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [solution("a", ["x"])], [], [item("a", [0.9], -1, 1) | {"mode": "analyze"}])
    write(run / "analyze", [solution("a", ["x"])], [vote("a", 0, [step(0.9)])], [])
    (shown,) = Document(report(run)).items
    assert [one["place"] for one in shown.detail["votes"]] == ["analyze/votes.jsonl:1"]


@pytest.mark.parametrize("rewards", [[0.5], [0.5, 2], [0.5, "x"]])
def test_an_item_whose_rewards_are_not_one_a_step_is_refused_with_its_place(rewards: list[Any], tmp_path: Path) -> None:
    run = write(tmp_path / "run", [solution("a", ["x", "y"])], [], [item("a", [0.5], -1, 1) | {"rewards": rewards}])
    with pytest.raises(InputError, match=r"items\.jsonl, line 1, field 'rewards': must be 2 numbers"):
        report(run)


def test_a_vote_of_an_impossible_number_is_one_sentence(tmp_path: Path) -> None:
    run = write(tmp_path, [solution("a", ["x"])], [vote("a", 10**30, [step(0.2)])], [item("a", [0.2], 0, 1)])
    with pytest.raises(InputError, match=r"votes\.jsonl, line 1, field 'vote': is 10{30}; mend the line"):
        report(run)


def test_the_policy_of_the_page_stops_scripts_that_are_not_ours(tmp_path: Path) -> None:
    page = report(example(tmp_path / "run"))
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<noscript>", "<script>document.title='owned'</script><noscript>"), encoding="utf-8")
    assert "<title>owned" not in browse(page, tmp_path / "profile", "--dump-dom")


def test_an_interrupted_run_is_shown_as_far_as_it_got(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [solution("a", ["x", "y"]), solution("b", ["z"])], [vote("a", 0, [step(0.2)])], [])
    with (run / "votes.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"key": "half a li')
    page = report(run)
    shown = Document(page).items
    assert [one.chip for one in shown] == ["unfinished"] * 2 and all("unsettled" in one.tags for one in shown)
    assert [one.strip for one in shown] == [[0.2, None], [None]]
    assert "No vote reached this step." in browse(page, tmp_path / "profile", "--dump-dom", at="#i=b")


def test_a_failed_step_says_why_and_shows_what_was_written(tmp_path: Path) -> None:
    votes = [vote("a", 0, [failed("budget")])]
    run = write(tmp_path / "run", [solution("a", ["x"])], votes, [item("a", [None], None, 1)])
    document = browse(report(run), tmp_path / "profile", "--dump-dom")
    assert "No judgement: budget" in document and "and on and on" in document and "not known" in document


def test_a_folder_without_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        report(tmp_path)
    assert not list(tmp_path.iterdir())
