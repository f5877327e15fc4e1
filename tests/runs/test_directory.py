from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genprm.errors import IdentityError, InputError, RecordError
from genprm.records import vote_to_dict
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.types import Solution, StepVerdict, Vote

CONFIG = Configuration("verify", {"model": "tiny", "sampling": {"top_p": 0.95}, "seed": 0}, {"votes": 2}, "in.jsonl")
SOLUTIONS = (Solution("p", ("s",), id="a", extra={"more": [1]}), Solution("q", ("t",), id="b"))


def vote(key: str) -> dict[str, Any]:
    return vote_to_dict(Vote(key, "a", 0, 1, (StepVerdict("judged", "direct", 1.0, 0.5, 0.0, "Yes"),)))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_records_and_the_configuration_are_there_before_the_first_vote(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path / "run", CONFIG, SOLUTIONS) as run:
        assert json.loads((run.path / "solutions.jsonl").read_text().splitlines()[0])["more"] == [1]
        assert Configuration.read(run.path / "config.yaml") == CONFIG
        assert not run.units
        assert run.log.is_dir()


def test_finished_votes_are_there_when_the_run_is_opened_again(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path, CONFIG, SOLUTIONS) as run:
        run.units.append(vote("k1"))
        run.units.append(vote("k1"))
        run.units.append(vote("k2"))
    with RunDirectory.open(tmp_path, replace(CONFIG, extent={"votes": 9}), SOLUTIONS) as run:
        assert dict(run.units) == {"k1": vote("k1"), "k2": vote("k2")}


@pytest.mark.parametrize("torn", [b'{"key": "k3", "id', b"\xc3", b"x" * 70_000])
def test_a_torn_last_line_is_cut_and_owed_again(tmp_path: Path, torn: bytes) -> None:
    with RunDirectory.open(tmp_path, CONFIG, SOLUTIONS) as run:
        run.units.append(vote("k1"))
    with (tmp_path / "votes.jsonl").open("ab") as file:
        file.write(torn)
    with RunDirectory.open(tmp_path, CONFIG, SOLUTIONS) as run:
        run.units.append(vote("k2"))
        assert list(run.units) == ["k1", "k2"]


def test_a_file_of_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path, CONFIG, SOLUTIONS).close()
    (tmp_path / "votes.jsonl").write_bytes(b'{"key"')
    with RunDirectory.open(tmp_path, CONFIG, SOLUTIONS) as run:
        assert not run.units


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path, CONFIG, SOLUTIONS).close()
    (tmp_path / "votes.jsonl").write_bytes(b"{\n{}\n")
    with pytest.raises(RecordError, match=r"votes\.jsonl, line 1"):
        RunDirectory.open(tmp_path, CONFIG, SOLUTIONS)
    RunDirectory.open(tmp_path / "other", CONFIG, SOLUTIONS).close()


def test_another_identity_is_refused_naming_the_keys_and_nothing_is_written(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path, CONFIG, SOLUTIONS).close()
    before = files(tmp_path)
    other = replace(CONFIG, identity={"model": "big", "sampling": {"top_p": 1.0}, "seed": 0})
    with pytest.raises(
        IdentityError, match=r"model \(there tiny, here big\), sampling\.top_p \(there 0\.95, here 1\.0\)"
    ):
        RunDirectory.open(tmp_path, other, SOLUTIONS)
    with pytest.raises(IdentityError, match="holds a run of genprm verify; choose another"):
        RunDirectory.open(tmp_path, replace(CONFIG, verb="rollout"), SOLUTIONS)
    assert files(tmp_path) == before


def test_more_or_fewer_of_the_same_records_continue_and_others_are_refused(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path, CONFIG, SOLUTIONS[:1]).close()
    RunDirectory.open(tmp_path, CONFIG, SOLUTIONS).close()
    RunDirectory.open(tmp_path, CONFIG, SOLUTIONS[:1]).close()
    with pytest.raises(IdentityError, match="record 1 is 'a', not the 'b'"):
        RunDirectory.open(tmp_path, CONFIG, SOLUTIONS[1:])
    with pytest.raises(IdentityError, match=r"record 1 \('a'\) has other problem, steps than the one given"):
        RunDirectory.open(tmp_path, CONFIG, [replace(SOLUTIONS[0], problem="r", steps=("u",))])


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds no run"):
        RunDirectory.open(tmp_path, CONFIG, SOLUTIONS)
    with pytest.raises(InputError, match="is a file"):
        RunDirectory.open(tmp_path / "thesis.tex", CONFIG, SOLUTIONS)
    with pytest.raises(InputError, match="cannot make the folder"):
        RunDirectory.open(tmp_path / "thesis.tex" / "run", CONFIG, SOLUTIONS)
    assert files(tmp_path) == {"thesis.tex": b"x"}


def test_the_users_own_solutions_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "solutions.jsonl").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        RunDirectory.open(tmp_path, CONFIG, SOLUTIONS)
    assert files(tmp_path) == {"solutions.jsonl": b"mine"}


@pytest.mark.parametrize("left", [["log/"], [".lock"], [".lock", "log/", "solutions.jsonl", ".config.yaml.new"]])
def test_a_run_that_was_killed_at_its_start_begins_again(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    with RunDirectory.open(tmp_path, CONFIG, SOLUTIONS) as run:
        assert Configuration.read(run.path / "config.yaml") == CONFIG


def test_a_name_that_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the folder .*File name too long"):
        RunDirectory.open(tmp_path / ("x" * 300), CONFIG, SOLUTIONS)


def test_a_configuration_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    broken = "verb: verify\ninput: x\nextent: {}\nidentity: "
    for text in ("- 1", "verb: [", "a: 1", broken + "[1]", broken + "null", broken + "2001-99-99"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(InputError, match="not the configuration of a run"):
            RunDirectory.open(tmp_path, CONFIG, SOLUTIONS)


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    code = (
        "import sys, genprm.runs as r, genprm.runs.configuration as c\n"
        f"run = r.RunDirectory.open({str(tmp_path)!r}, c.Configuration('verify', {{'seed': 0}}), ())\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    config = Configuration("verify", {"seed": 0})
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(InputError, match=f"in use by process {other.pid}"):
            RunDirectory.open(tmp_path, config, ())
        other.kill()
    RunDirectory.open(tmp_path, config, ()).close()


def test_derived_files_are_replaced_whole(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path, CONFIG, SOLUTIONS) as run:
        assert run.read_metrics() == {}
        for count in (2, 1):
            run.write_items({"id": str(index)} for index in range(count))
        run.write_metrics({"tokens": 3})
        run.write_environment(environment(model="tiny"))
        run.append_error({"id": "a", "message": "engine gone"})
        assert run.read_metrics() == {"tokens": 3}
    assert (tmp_path / "items.jsonl").read_text() == '{"id": "0"}\n'
    assert json.loads((tmp_path / "environment.json").read_text())["model"] == "tiny"
    assert json.loads((tmp_path / "errors.jsonl").read_text())["message"] == "engine gone"


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path, CONFIG, SOLUTIONS) as run:
        (tmp_path / "votes.jsonl").symlink_to("/dev/full")
        with pytest.raises(InputError, match="No space left on device; free space and run"):
            run.units.append(vote("k1"))
        (tmp_path / ".metrics.json.new").mkdir()
        with pytest.raises(InputError, match="cannot write"):
            run.write_metrics({})
