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
    return simulate(0)


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


def test_beliefs_are_what_they_say(world: World) -> None:
    found = first_errors(world.counts, world.sources)
    right = found.index == world.truth
    for low, high in ((0.5, 0.75), (0.75, 0.95), (0.95, 1.01)):
        chosen = (found.belief >= low) & (found.belief < high)
        assert chosen.sum() > 50
        assert abs(right[chosen].mean() - found.belief[chosen].mean()) < 0.1


def test_what_a_source_is_worth_is_learned_without_the_truth(world: World) -> None:
    found = first_errors(world.counts, world.sources)
    for votes in ("annotator", "judge"):
        divided, unanimous = found.sources[votes][:, 0]
        assert unanimous > divided + 0.2
    assert found.sources["annotator"][1, 0] > found.sources["judge"][1, 0]
    assert abs(found.hazard - 0.15) < 0.04


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
    with pytest.raises(InputError, match="do not fit"):
        first_errors(world.counts, {"annotator": Votes(np.zeros(3, dtype=np.int64), np.ones(3, dtype=bool))})
