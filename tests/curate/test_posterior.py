"""First errors as probabilities: learned without the truth, calibrated, and better than asking sources to agree."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from genprm.curate.counts import Counts, Ints
from genprm.curate.labels import label_arrays
from genprm.curate.posterior import Posterior, Votes, first_errors
from genprm.errors import InputError
from genprm.types import Rollout

K = 16


@dataclass(frozen=True)
class World:
    """Simulated solutions with their truth."""

    counts: Counts
    truth: Ints
    annotator: Votes
    judge: Votes

    @property
    def sources(self) -> dict[str, Votes]:
        return {"annotator": self.annotator, "judge": self.judge}


def simulate(seed: int, solutions: int = 1500) -> World:
    """Values wander up before an error, fall at it by a random factor, and some errors are survived."""
    rng = np.random.default_rng(seed)
    rows, truth = [], []
    for number in range(solutions):
        steps = int(rng.integers(2, 7))
        wrong = next((t for t in range(steps) if rng.random() < 0.15), -1)
        p = float(rng.uniform(0.2, 0.8))
        rows.append(rollout(f"p{number}", number, -1, rng.binomial(K, p), K))
        for t in range(steps):
            fall = rng.beta(1, 4) if t == wrong else 1.0
            p = float(np.clip((p + rng.uniform(0, 0.3) * (1 - p)) * fall, 0.005, 0.99))
            last = t == steps - 1
            share = (0.98 if wrong < 0 else p * 0.3) if last else p
            k = 1 if last else K
            rows.append(rollout(f"s{number}", number, t, rng.binomial(k, share), k))
        truth.append((wrong, steps))
    index = np.array([wrong for wrong, _ in truth])
    return World(Counts.from_rollouts(rows), index, votes(rng, truth, 0.75), votes(rng, truth, 0.65))


def rollout(name: str, problem: int, step: int, correct: int, total: int) -> Rollout:
    return Rollout("", name, f"p{problem}", step, "m", K, int(correct), total, 0, 0)


def votes(rng: np.random.Generator, truth: list[tuple[int, int]], skill: float) -> Votes:
    said, one_mind = [], []
    for wrong, steps in truth:
        sure = rng.random() < 0.6
        right = rng.random() < (skill + 0.15 if sure else skill - 0.25)
        said.append(wrong if right else int(rng.integers(-1, steps)))
        one_mind.append(sure)
    return Votes(np.array(said), np.array(one_mind))


def wrong_among(found: Posterior, world: World, kept: int) -> int:
    """Wrong labels among the ``kept`` solutions that are believed most."""
    best = np.argsort(-found.belief, kind="stable")[:kept]
    return int((found.index[best] != world.truth[best]).sum())


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(0, 2000)


def first_by_progress(world: World) -> Ints:
    labels = label_arrays(world.counts, "rpe_ratio").records()
    return np.array([next((i for i, v in enumerate(one.values) if v == 0), -1) for one in labels])


def test_fewer_labels_are_wrong_than_where_sources_agree_at_the_same_share_kept(world: World) -> None:
    progress = first_by_progress(world)
    agree = progress == world.annotator.index
    wrong = int((progress != world.truth)[agree].sum())
    both = first_errors(world.counts, {"annotator": world.annotator})
    assert wrong_among(both, world, int(agree.sum())) < 0.7 * wrong
    assert wrong_among(first_errors(world.counts, world.sources), world, int(agree.sum())) < 0.5 * wrong


def test_counts_alone_name_more_first_errors_than_a_threshold(world: World) -> None:
    found = first_errors(world.counts, {})
    assert (found.index == world.truth).mean() > (first_by_progress(world) == world.truth).mean()


@pytest.mark.parametrize("named", [(), ("annotator",), ("annotator", "judge")])
def test_beliefs_are_what_they_say(world: World, named: tuple[str, ...]) -> None:
    """The expected calibration error: shares of right labels against beliefs, bin by bin."""
    found = first_errors(world.counts, {name: world.sources[name] for name in named})
    right, bins = found.index == world.truth, np.searchsorted((0.5, 0.75, 0.9, 0.95, 0.99), found.belief)
    off = sum(abs(right[bins == one].sum() - found.belief[bins == one].sum()) for one in range(6))
    assert off / len(right) < 0.03


def test_what_a_source_is_worth_is_learned_without_the_truth(world: World) -> None:
    found = first_errors(world.counts, world.sources)
    for votes in ("annotator", "judge"):
        divided, unanimous = found.sources[votes][:, 0]
        assert unanimous > divided + 0.2
    assert found.sources["annotator"][1, 0] > found.sources["judge"][1, 0]
    assert abs(found.hazard - 0.15) < 0.04


def test_a_wrong_answer_is_never_free_of_errors(world: World) -> None:
    """Whatever the readers say: they may all miss the same error."""
    blind = Votes(np.full(len(world.truth), -1), np.ones(len(world.truth), dtype=bool))
    found = first_errors(world.counts, {"annotator": blind, "judge": blind})
    assert not ((found.index == -1) & (world.counts.answer == 0)).any()


@pytest.mark.parametrize("clean", [0, 20, 60, 100])
def test_the_cases_are_not_exchanged_where_most_solutions_are_alike(clean: int) -> None:
    """Values that rise to a right answer, or rise and then fall to a wrong one."""
    rng = np.random.default_rng(clean)
    rows = []
    for n in range(200):
        shares = (0.5, 0.6, 0.8, 1.0) if n < clean else (0.5, 0.6, 0.05, 0.0)
        rows.append(rollout(f"p{n}", n, -1, rng.binomial(K, shares[0]), K))
        rows += [rollout(f"s{n}", n, t, rng.binomial(K, p), K) for t, p in enumerate(shares[1:3])]
        rows.append(rollout(f"s{n}", n, 2, int(shares[3]), 1))
    found = first_errors(Counts.from_rollouts(rows), {})
    truth = np.where(np.arange(200) < clean, -1, 1)
    sure = found.belief >= 0.9
    assert sure.sum() > 80 and (found.index == truth)[sure].mean() > 0.97


def test_errors_in_solutions_of_one_step_are_as_likely_as_they_are() -> None:
    rng = np.random.default_rng(3)
    truth = [(0 if rng.random() < 0.3 else -1, 1) for _ in range(600)]
    rows = [rollout(f"p{n}", n, -1, 8, K) for n in range(600)]
    rows += [rollout(f"s{n}", n, 0, rng.random() < (0.98 if t < 0 else 0.1), 1) for n, (t, _) in enumerate(truth)]
    found = first_errors(Counts.from_rollouts(rows), {"annotator": votes(rng, truth, 0.75)})
    assert abs((1 - found.probabilities[:, -1]).mean() - np.mean([t >= 0 for t, _ in truth])) < 0.06


def test_probabilities_add_up_and_end_with_the_solution(world: World) -> None:
    found = first_errors(world.counts, world.sources).probabilities
    assert np.allclose(found.sum(axis=1), 1)
    beyond = np.arange(found.shape[1] - 1) >= world.counts.lengths[:, None]
    assert not found[:, :-1][beyond].any()


def test_a_source_that_says_nothing_changes_nothing(world: World) -> None:
    silent = Votes(np.full(len(world.truth), -2), np.zeros(len(world.truth), dtype=bool))
    with_it = first_errors(world.counts, {"annotator": world.annotator, "judge": silent})
    assert np.allclose(with_it.probabilities, first_errors(world.counts, {"annotator": world.annotator}).probabilities)


def test_votes_that_do_not_fit_are_refused(world: World) -> None:
    far = replace(world.annotator, index=np.full(len(world.truth), 40))
    with pytest.raises(InputError, match="votes of 'annotator' do not fit"):
        first_errors(world.counts, {"annotator": far})
    with pytest.raises(InputError, match="rounds is 0"):
        first_errors(world.counts, {}, rounds=0)
    with pytest.raises(InputError, match="do not fit"):
        first_errors(world.counts, {"annotator": Votes(np.zeros(3, dtype=np.int64), np.ones(3, dtype=bool))})
