"""A run of critique and refinement. Its directory:

    solutions.jsonl      the solutions given
    verified-0/ ...      a verify run each round: of the solutions given, then of the new ones
    refinements.jsonl    every new solution, appended
    opinions.jsonl       what the policy says of solutions, where it is its own critic
    refined.jsonl        derived: the solution that each problem ends with, as solution records
    items.jsonl          derived: one line a problem, what was said and taken in each round
    metrics.json         derived: a line of figures for each round

Verifier and policy are never loaded together. More rounds continue a run: what is there is not asked again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genprm import background
from genprm.api import Verifier
from genprm.critique.findings import CRITICS, Critic, Finding, controlled, of_label, of_verifier
from genprm.critique.rounds import Round, Score, Standing, Turn, choose, count, item_of
from genprm.curate import asking
from genprm.curate.judge import majority
from genprm.errors import InputError, require_counts
from genprm.prompts import refine_request
from genprm.records import Loaded, read_votes, solution_to_dict, write_lines
from genprm.rollout.completer import Terms
from genprm.rollout.opening import Opening
from genprm.rollout.samples import (
    Order,
    PrefixOrder,
    RefineOrder,
    Sample,
    sample_from_dict,
    sample_to_dict,
    solution_of,
)
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.runs.directory import VOTES, begun
from genprm.runs.held import OneOpen
from genprm.runs.keys import digest
from genprm.runs.owed import Unavailable, work_off
from genprm.runs.ray import RayCluster
from genprm.types import Problem, Rollout, Solution, Verification, Vote

REFINEMENTS, OPINIONS, REFINED = "refinements.jsonl", "opinions.jsonl", "refined.jsonl"
_MADE = re.compile(r"(.+)~\d+\.\d+", re.DOTALL)
"""The id of a new solution: that of the given one, the round, and a number."""
OnStage = Callable[[str], None]
"""Told in a sentence what begins."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done. ``rounds`` may change between runs of a directory, the rest may not."""

    rounds: int = 3
    refinements: int = 1
    """New solutions to each finding; the verifier picks among them where there are several."""
    critic: Critic = "verifier"
    accept_if_better: bool = False
    """Keep the old solution unless the verifier scores the new one higher."""
    score: Score = "min"
    opinions: int = 4
    """Votes of a policy that is its own critic."""

    def __post_init__(self) -> None:
        require_counts(self, "rounds", "refinements", "opinions")
        if self.critic not in CRITICS:
            raise InputError(f"critic is '{self.critic}'; it must be one of {', '.join(CRITICS)}")

    @property
    def verifies_last(self) -> bool:
        """Whether what the last round wrote is verified: only where that decides something."""
        return self.refinements > 1 or self.accept_if_better


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run left in its directory."""

    path: Path
    rounds: tuple[Round, ...]
    """Round 0 is the solutions as given."""
    solutions: tuple[Solution, ...]
    """What each problem ends with, in input order."""


@dataclass(frozen=True, slots=True)
class _Verified:
    item: Verification
    votes: tuple[Vote, ...]


def check(loaded: Loaded, plan: Plan) -> None:
    """Raises ``InputError`` for solutions that cannot be criticised by the plan."""
    if plan.critic == "oracle" and (bare := [one.id for one in loaded.solutions if one.label is None]):
        raise InputError(f"{loaded.source}: solution {bare[0]} has no 'label', which critic oracle reads")
    given = {one.id for one in loaded.solutions}
    for name in given:
        if (made := _MADE.fullmatch(name)) and made[1] in given:
            raise InputError(
                f"{loaded.source}: '{name}' is what a refinement of '{made[1]}' may be called, and both are given; "
                "rename one of them, or criticise them in runs of their own"
            )


def critique(
    loaded: Loaded,
    out: Path | str,
    verifier: Verifier,
    policy: Opening,
    plan: Plan,
    *,
    ray: RayCluster | None = None,
    on_stage: OnStage = lambda text: None,
) -> Summary:
    """Criticise and refine solutions into a run directory; the same call again continues it.

    Raises ``InputError`` before anything is written; ``EngineUnavailable``, ``SandboxUnavailable`` or
    ``GraderUnavailable``, with everything finished kept, when infrastructure lost something.
    """
    check(loaded, plan)
    out = Path(out)
    verifier.prepare(out / "verified-0")
    if (stored := begun(out)) is not None:
        policy = policy.following((stored.identity.get("policy") or {}).get("engine", {}).get("engine"))
    with verifier:
        verifier.check(loaded)
        identity = {**asdict(plan), "verifier": verifier.identity, "verifier_votes": verifier.votes}
    terms = background.shared().run(_facts(policy, ray))
    identity["policy"] = _identity(terms)
    extent = {"rounds": identity.pop("rounds"), **({} if ray is None else {"ray": asdict(ray)})}
    configuration = Configuration("critique", identity, extent, loaded.source)
    with RunDirectory.open(out, configuration, loaded.solutions, units=REFINEMENTS) as run:
        run.write_environment(environment(**identity))
        return _Run(run, loaded.solutions, verifier, policy, terms, plan, ray, on_stage).work()


class _Run:
    """The rounds of one run."""

    def __init__(
        self, run: RunDirectory, solutions: Sequence[Solution], verifier: Verifier, policy: Opening, terms: Terms,
        plan: Plan, ray: RayCluster | None, on_stage: OnStage,
    ) -> None:  # fmt: skip
        self._run, self._verifier, self._policy, self._terms = run, verifier, policy, terms
        self._plan, self._ray, self._say = plan, ray, on_stage
        self._opinions = run.open_units(OPINIONS) if plan.critic == "self" else None
        self._given = {one.id: one for one in solutions}
        self._verified: dict[str, _Verified] = {}
        self._right: dict[str, bool | None] = {}
        self._tokens: dict[str, int] = {}
        """Of the policy, by the id of what it wrote or graded."""
        self._heard: set[str] = set()
        """Solutions that the policy has judged."""

    def work(self) -> Summary:
        self._verify(0, list(self._given.values()))
        self._grade_given()
        standings = {name: self._standing(one) for name, one in self._given.items()}
        first = [Turn(one, one) for one in standings.values()]
        rounds = [count(0, first, 0, self._verifier_tokens(self._given))]
        turns: dict[str, list[Turn]] = {name: [] for name in self._given}
        for number in range(1, self._plan.rounds + 1):
            done, figures = self._round(number, standings)
            rounds.append(figures)
            for name, turn in done.items():
                turns[name].append(turn)
                standings[name] = turn.after
        return self._write(rounds, turns, standings)

    def _round(self, number: int, standings: Mapping[str, Standing]) -> tuple[dict[str, Turn], Round]:
        current = {name: one.solution for name, one in standings.items()}
        findings = self._findings(number, current)
        made, invalid = self._refine(number, current, findings)
        new = {one.id: one for some in made.values() for one in some}
        verified = number < self._plan.rounds or self._plan.verifies_last
        if verified:
            self._verify(number, list(new.values()))
        turns = {}
        for name, before in standings.items():
            candidates = [self._standing(one) for one in made.get(name, ())]
            after = choose(before, candidates, if_better=self._plan.accept_if_better)
            ids = tuple(one.solution.id for one in candidates)
            turns[name] = Turn(before, after, findings.get(name), ids, invalid.get(name, 0))
        written = sum(count for id, count in self._tokens.items() if id.rpartition("~")[2].startswith(f"{number}."))
        return turns, count(number, list(turns.values()), written, self._verifier_tokens(new) if verified else 0)

    def _standing(self, solution: Solution) -> Standing:
        verified = self._verified.get(solution.id)
        score = None if verified is None else getattr(verified.item.score, self._plan.score)
        return Standing(solution, score, self._right.get(solution.id))

    # The verifier

    def _verify(self, number: int, solutions: Sequence[Solution]) -> None:
        if not solutions:
            return
        self._say(f"round {number}: {len(solutions)} solutions to be verified")
        folder = self._run.path / f"verified-{number}"
        with self._verifier as verifier:
            summary = verifier.verify_to_dir(Loaded(tuple(solutions), source=str(self._run.path)), folder)
        votes = read_votes(folder / VOTES)
        for item in summary.items:
            self._verified[item.id] = _Verified(item, tuple(votes.get(item.id, ())))

    def _verifier_tokens(self, ids: Mapping[str, object]) -> int:
        found = [self._verified[name] for name in ids if name in self._verified]
        return sum(verdict.tokens for one in found for vote in one.votes for verdict in vote.steps)

    # What is said

    def _findings(self, number: int, current: Mapping[str, Solution]) -> dict[str, Finding]:
        """By the id of the solution that was given."""
        if self._plan.critic == "oracle":
            return {name: one for name, solution in current.items() if (one := of_label(solution)) is not None}
        if self._plan.critic == "self":
            return self._own_findings(number, current)
        found = {}
        for name, solution in current.items():
            verified = self._verified[solution.id]
            if (one := of_verifier(verified.item, verified.votes)) is not None:
                found[name] = one
        return controlled(self._plan.critic, found, current, self._policy.run_seed + number)

    def _own_findings(self, number: int, current: Mapping[str, Solution]) -> dict[str, Finding]:
        assert self._opinions is not None
        self._say(f"round {number}: {len(current)} solutions to be judged by the policy itself")
        judge = asking.Opening(
            "judge", self._policy.model, self._policy.engine, max_tokens=self._policy.settings.max_tokens,
            sampling=self._policy.sampling, run_seed=self._policy.run_seed, engine_options=self._policy.engine_options,
        )  # fmt: skip
        wanted = {
            name: [
                asking.Question(self._key("opinion", one.id, one.problem, list(one.steps), n), one, n)
                for n in range(self._plan.opinions)
            ]
            for name, one in current.items()
        }
        units, owed = self._opinions, [one for some in wanted.values() for one in some]

        def keep(question: asking.Question, opinion: Any) -> None:
            units.append({"key": question.key, "id": question.solution.id, "n": question.index, **asdict(opinion)})

        self._work_off(judge, [one for one in owed if one.key not in units], keep)
        found = {}
        for name, questions in wanted.items():
            index = majority([units[one.key]["index"] for one in questions]).index
            if index is not None and index >= 0:
                found[name] = Finding(index, "")
            if current[name].id not in self._heard:  # one that stands is not asked about again
                self._heard.add(current[name].id)
                self._tokens[f"{current[name].id}~{number}.opinion"] = sum(
                    units[one.key]["tokens"] for one in questions
                )
        return found

    # The policy

    def _refine(
        self, number: int, current: Mapping[str, Solution], findings: Mapping[str, Finding]
    ) -> tuple[dict[str, list[Solution]], dict[str, int]]:
        """The new solutions of each problem, and how many could not be used."""
        orders = {
            name: [self._order(name, number, n, current[name], finding) for n in range(self._plan.refinements)]
            for name, finding in findings.items()
        }
        owed = [one for some in orders.values() for one in some if one.key not in self._run.units]
        if owed:
            self._say(f"round {number}: {len(owed)} solutions to be written")

        def keep(order: Order, sample: Any) -> None:
            assert isinstance(sample, Sample)
            self._run.units.append(sample_to_dict(sample))

        self._work_off(self._policy, owed, keep)
        made: dict[str, list[Solution]] = {}
        invalid = {}
        for name, some in orders.items():
            samples = [sample_from_dict(self._run.units[one.key]) for one in some]
            valid = [one for one in samples if one.outcome != "invalid"]
            invalid[name] = len(samples) - len(valid)
            made[name] = [self._solution(one, name) for one in valid]
            self._tokens |= {one.id: one.tokens for one in samples}
        return made, invalid

    def _order(self, name: str, number: int, index: int, solution: Solution, finding: Finding) -> RefineOrder:
        request = refine_request(solution.steps[finding.step], finding.words) if finding.quoted else None
        problem = _problem(self._given[name])
        key = self._key("refinement", problem.id, problem.problem, problem.answer, solution.id, list(solution.steps),
                        request, number, index)  # fmt: skip
        return RefineOrder(key, problem, f"{name}~{number}.{index}", index, solution, request)

    def _solution(self, sample: Sample, name: str) -> Solution:
        given = self._given[name]
        made = solution_of(sample, _problem(given), self._policy.model)
        right = made.final_answer_correct if given.answer else None
        self._right[made.id] = right
        # The old label and rewards are of other steps.
        return replace(made, answer=given.answer, final_answer_correct=right)

    def _grade_given(self) -> None:
        """Whether the given answers are right, for the figures alone."""
        # Without a reference answer nobody can tell of what is written later, so nothing is counted from the start.
        self._right = {name: one.final_answer_correct if one.answer else None for name, one in self._given.items()}
        orders = [
            PrefixOrder(self._key("grade", name, one.answer, one.predicted_answer, one.steps[-1]), _problem(one), one,
                        len(one.steps) - 1, 1)
            for name, one in self._given.items()
            if one.final_answer_correct is None and one.answer
        ]  # fmt: skip
        units = self._run.units

        def keep(order: Order, graded: Any) -> None:
            assert isinstance(graded, Rollout)
            units.append({"key": order.key, "id": graded.id, "correct": graded.correct})

        self._work_off(self._policy, [one for one in orders if one.key not in units], keep)
        self._right |= {units[one.key]["id"]: bool(units[one.key]["correct"]) for one in orders}

    # Both

    def _key(self, kind: str, *content: object) -> str:
        return digest(kind, json.dumps(_identity(self._terms), sort_keys=True), list(content))[:32]

    def _work_off(self, opening: Any, owed: Sequence[Any], keep: Callable[[Any, Any], None]) -> None:
        if owed:
            background.shared().run(self._ask(opening, owed, keep))

    async def _ask(self, opening: Any, owed: Sequence[Any], keep: Callable[[Any, Any], None]) -> None:
        held, left = OneOpen(self._ray), len(owed)

        def kept(order: Any, result: Any) -> None:
            nonlocal left
            left -= 1
            keep(order, result)

        def lose(order: Any, error: Unavailable) -> None:
            self._run.append_error({"key": order.key, "message": str(error)})

        try:
            lost = await work_off(await held.get(opening), owed, kept, lose)
        finally:
            await held.aclose()
        if lost is not None:
            raise type(lost)(f"{lost}; {left} answers are owed in {self._run.path}: run the same command again")

    def _write(
        self, rounds: Sequence[Round], turns: Mapping[str, Sequence[Turn]], standings: Mapping[str, Standing]
    ) -> Summary:
        final = tuple(one.solution for one in standings.values())
        write_lines(self._run.path / REFINED, map(solution_to_dict, final))
        self._run.write_items(item_of(name, some) for name, some in turns.items())
        self._run.write_metrics({"rounds": [asdict(one) for one in rounds], "critic": self._plan.critic})
        return Summary(self._run.path, tuple(rounds), final)


async def _facts(policy: Opening, ray: RayCluster | None) -> Terms:
    held = OneOpen(ray)
    try:
        facts: Terms = (await held.get(policy)).facts
        return facts
    finally:
        await held.aclose()


def _identity(terms: Terms) -> dict[str, Any]:
    return {
        "engine": dict(terms.engine), "context_length": terms.context_length, **asdict(terms.settings),
        "sampling": asdict(terms.sampling), "seed": terms.run_seed,
    }  # fmt: skip


def _problem(solution: Solution) -> Problem:
    return Problem(solution.problem_id or solution.id, solution.problem, solution.answer or "")
