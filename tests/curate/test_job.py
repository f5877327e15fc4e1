"""A curation, from a rollout run to data sets: what it keeps, what it depends on, and how it goes on."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from genprm.curate.asking import Opening
from genprm.curate.job import Curated, curate, read_rollout_run
from genprm.curate.options import Curation, ModelUse
from genprm.curate.released import load_genprm_data
from genprm.curate.selection import stages
from genprm.engines import Completion, GenerationRequest, ScriptedEngine
from genprm.errors import EngineUnavailable, IdentityError, InputError
from genprm.execution import LocalSandbox
from genprm.records.lines import read_lines, write_lines
from genprm.rollout import Amounts, Budget, Plan, Roller, Settings
from tests.conftest import REPOSITORY
from tests.curate import readers
from tests.curate.program import ALL
from tests.rollout import policies


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rollout run of a scripted policy that errs, completed by a stronger one."""
    out = tmp_path_factory.mktemp("rollouts") / "run"
    plan = Plan(Budget(initial=8, batch=4, most=24, keep=4), Amounts.fixed(6))
    Roller(
        "solver", engine=policies.engine, completer="strong", completer_engine=policies.other_engine, plan=plan,
        settings=Settings(max_tokens=400),
    ).run(policies.problems(6), out)  # fmt: skip
    return out


def run(source: Path, out: Path, options: Curation = ALL, **engines: Any) -> Curated:
    async def main() -> Curated:
        sandbox = LocalSandbox(max_sessions=4)
        await sandbox.start()
        openings = [
            Opening("annotator", "annotator", engines.get("annotator", readers.annotator), sandbox),
            Opening("judge", "judge", engines.get("judge", readers.judging)),
        ]
        wanted = [o for o in openings if (options.annotator if o.task == "annotator" else options.judge) is not None]
        try:
            return await curate(source, out, options, stages(options), wanted)
        finally:
            await sandbox.aclose()

    return asyncio.run(main())


def derived(out: Path) -> dict[str, bytes]:
    """Everything that is derived, but for times and the parquet files' own stamps."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*.jsonl"))
        if path.name not in ("annotations.jsonl", "judgements.jsonl", "errors.jsonl")
    }


def test_what_agrees_is_kept_and_exported_in_every_format(rollouts: Path, tmp_path: Path) -> None:
    found = run(rollouts, tmp_path / "run")
    funnel = found.sifted.funnel.rows
    assert [row.stage for row in funnel] == ["genprm-consensus", "truncate", "code-conflict", "length", "per-problem"]
    assert 0 < funnel[-1].kept < funnel[0].entered
    assert set(funnel[0].reasons) <= {"labels-differ", "votes-unparsable", "votes-tied", "annotator-silent"}
    assert found.metrics["malformed"]
    data = load_genprm_data(str(tmp_path / "run/export/conversations"))
    assert len(data.examples) == found.metrics["kept"] and not data.rejected
    for _, row in read_lines(tmp_path / "run/export/step-tags/train.jsonl"):
        assert len(row["value"]) == row["text"].count("ки")
    items = [item for _, item in read_lines(tmp_path / "run/items.jsonl")]
    assert sum(item["kept"] for item in items) == found.metrics["kept"]
    assert all(item["kept"] != bool(item["dropped_by"]) for item in items)


def test_a_kept_solution_is_right_up_to_the_index_all_agree_on(rollouts: Path, tmp_path: Path) -> None:
    """The scripted annotator checks what can be checked, so a claim that is false cannot stay among right steps."""
    found = run(rollouts, tmp_path / "run")
    for candidate in found.sifted.kept:
        for index, step in enumerate(candidate.solution.steps):
            claim = readers.CLAIM.search(step)
            if claim is not None:
                assert (readers._value(claim[1]) == int(claim[2])) == (index != candidate.agreed)


def test_hidden_truth_changes_nothing(rollouts: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "rollouts.jsonl").write_bytes((rollouts / "rollouts.jsonl").read_bytes())
    records = [record for _, record in read_lines(rollouts / "selected.jsonl")]
    for record in records:
        record["label"] = random.Random(record["id"]).randrange(-1, len(record["steps"]))
    write_lines(changed / "selected.jsonl", records)
    first, second = run(rollouts, tmp_path / "one"), run(changed, tmp_path / "two")
    assert first.sifted.funnel == second.sifted.funnel
    for name, text in derived(tmp_path / "one").items():
        if name != "solutions.jsonl":
            assert derived(tmp_path / "two")[name] == text


class Dying(ScriptedEngine):
    """Goes away after some answers."""

    left = 40

    async def generate(self, request: GenerationRequest) -> Completion:
        self.left -= 1
        if self.left < 0:
            raise EngineUnavailable("the engine went away")
        return await super().generate(request)


def test_what_infrastructure_lost_is_asked_again_and_only_that(rollouts: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"the engine went away; \d+ of \d+ answers are owed in .*run the same"):
        run(rollouts, tmp_path / "run", annotator=lambda: Dying(readers.annotate, name="annotator"))
    assert not (tmp_path / "run/items.jsonl").exists()
    before = (tmp_path / "run/annotations.jsonl").read_text().splitlines()
    run(rollouts, tmp_path / "run")
    run(rollouts, tmp_path / "calm")
    after = (tmp_path / "run/annotations.jsonl").read_text().splitlines()
    assert before and after[: len(before)] == before
    assert sorted(after) == sorted((tmp_path / "calm/annotations.jsonl").read_text().splitlines())
    assert derived(tmp_path / "run") == derived(tmp_path / "calm")


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_as_a_calm_run_does(rollouts: Path, tmp_path: Path, kills: int) -> None:
    run(rollouts, tmp_path / "calm")
    command = [sys.executable, "-m", "tests.curate.program", str(rollouts), str(tmp_path / "run")]
    rng, killed = random.Random(0), 0
    while killed < kills:
        with subprocess.Popen(command, cwd=REPOSITORY) as program:
            deadline, before = time.monotonic() + 60, answered(tmp_path / "run")
            while program.poll() is None and answered(tmp_path / "run") == before and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.2))
            program.kill()
        killed += 1
    subprocess.run(command, cwd=REPOSITORY, check=True)
    for name in ("annotations.jsonl", "judgements.jsonl"):
        assert sorted((tmp_path / "run" / name).read_bytes().splitlines()) == sorted(
            (tmp_path / "calm" / name).read_bytes().splitlines()
        )
    assert derived(tmp_path / "run") == derived(tmp_path / "calm")


def answered(out: Path) -> int:
    """Bytes of answers that are there."""
    return sum(path.stat().st_size for name in ("annotations", "judgements") for path in out.glob(f"{name}.jsonl"))


def test_filters_may_change_and_nothing_is_asked_again(rollouts: Path, tmp_path: Path) -> None:
    run(rollouts, tmp_path / "run")
    asked = (tmp_path / "run/annotations.jsonl").read_bytes()
    found = run(rollouts, tmp_path / "run", ALL.model_copy(update={"consensus": "lessons-two", "truncate": False}))
    assert found.sifted.funnel.rows[0].stage == "lessons-consensus"
    assert (tmp_path / "run/annotations.jsonl").read_bytes() == asked
    with pytest.raises(IdentityError, match=r"judge\.samples \(there 3, here 1\)"):
        run(rollouts, tmp_path / "run", ALL.model_copy(update={"judge": ModelUse(model="judge")}))


def test_what_a_model_answered_in_another_curation_is_taken_over(rollouts: Path, tmp_path: Path) -> None:
    run(rollouts, tmp_path / "all")
    lessons = ALL.model_copy(update={"annotator": None, "consensus": "lessons-two", "formats": ("extra-tokens",)})
    again = lessons.model_copy(update={"answers": str(tmp_path / "all")})

    def asks(*_: object) -> str:
        raise AssertionError("asked again")

    found = run(rollouts, tmp_path / "copied", again, judge=lambda: ScriptedEngine(asks, name="judge"))
    assert found.sifted == run(rollouts, tmp_path / "asked", lessons).sifted
    with pytest.raises(InputError, match="nowhere is no curation"):
        run(rollouts, tmp_path / "none", lessons.model_copy(update={"answers": "nowhere"}))
    assert not (tmp_path / "none").exists()


def test_another_model_of_the_same_name_is_refused(rollouts: Path, tmp_path: Path) -> None:
    """The name stays; what it stands for has changed."""
    run(rollouts, tmp_path / "run")
    asked = (tmp_path / "run/annotations.jsonl").read_bytes()
    with pytest.raises(IdentityError, match=r"annotator\.resolved\.engine\.model \(there annotator, here other\)"):
        run(rollouts, tmp_path / "run", annotator=lambda: ScriptedEngine(readers.annotate, name="other"))
    assert (tmp_path / "run/annotations.jsonl").read_bytes() == asked


def test_labels_alone_need_no_model(rollouts: Path, tmp_path: Path) -> None:
    options = Curation(consensus="none", truncate=False, targets="entropy", target_parameters={"eta": 2},
                       formats=("step-tags",))  # fmt: skip
    found = run(rollouts, tmp_path / "run", options)
    solutions, _ = read_rollout_run(rollouts)
    assert found.metrics["kept"] == len(solutions) == found.metrics["exported"]["step-tags"]
    rules = {json.loads(line)["rule"] for line in (tmp_path / "run/labels.jsonl").read_text().splitlines()}
    assert rules == {"orm", "hard", "soft", "entropy", "rpe_ratio", "rpe_difference"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Curation(), "consensus 'genprm' needs an annotator; give annotator.model=NAME"),
        (Curation(consensus="lessons-two"), "needs more sources than these 1; give judge.model=NAME"),
    ],
)
def test_a_consensus_without_its_sources_is_refused(options: Curation, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stages(options)


def test_a_folder_without_rollouts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no rollout run"):
        run(tmp_path, tmp_path / "run")
