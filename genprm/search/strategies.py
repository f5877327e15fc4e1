"""The strategies: which steps are drawn next, given what the scorer says of those before. One object a problem.

All go in rounds: draw, score, decide. Decisions are made between rounds alone, from results in the order in which they
were asked for, so a search is the same whatever runs beside it, and whichever draw is ready first.

best-of-n, weighted  one round of ``n`` whole solutions; under a budget a round for each
beam, dvts           a round draws ``branch`` steps behind each prefix (``branch * width`` behind a problem alone), and
                     of each tree the best ``width`` go on. A finished solution among them takes up its place for good.
                     Prefixes of a tree that say the same are one.
resample             a round draws one step of each chain, which is taken if it is good enough or no try is left
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from genprm.runs.pool import together
from genprm.search.paths import Path, distinct, ranked
from genprm.search.plan import Plan
from genprm.search.verified import Verified
from genprm.search.writing import Writer


@dataclass(slots=True)
class _Tree:
    """The prefixes that compete with each other."""

    growing: list[Path]
    width: int
    """Places for prefixes and finished solutions that are not taken yet."""


@dataclass(slots=True)
class _Chain:
    """A solution that is written step by step."""

    path: Path
    tried: list[Path] = field(default_factory=list)
    """Draws of its next step."""


class Search:
    """The search for one problem."""

    def __init__(self, plan: Plan, writer: Writer, verified: Verified) -> None:
        self._plan = plan
        self._writer = writer
        self._verified = verified
        self.ended: list[Path] = []
        """Every path that goes on no more, finished or cut, in the order of the rounds."""
        self.stopped = False
        """Whether the budget ended it."""

    async def run(self) -> None:
        """Search to the end. Raises ``EngineUnavailable`` or ``SandboxUnavailable``."""
        if self._plan.grows_trees:
            await self._grow_trees()
        elif self._plan.strategy == "resample":
            await self._grow_chains()
        else:
            await self._sample()

    def score(self, path: Path) -> float | None:
        """Of a path, by the rewards of its steps."""
        return self._verified.score(path.steps, self._plan.score)

    def _may_go_on(self) -> bool:
        """Whether the budget allows another round; noted if not."""
        budget = self._plan.budget
        self.stopped = budget is not None and self._writer.tokens + self._verified.tokens >= budget
        return not self.stopped

    async def _sample(self) -> None:
        every = range(self._plan.n)
        for numbers in [every] if self._plan.budget is None else [range(n, n + 1) for n in every]:
            if not self._may_go_on():
                return
            drawn = await together(self._writer.whole(number) for number in numbers)
            await self._verified.whole(path.steps for path in drawn if path.finished)
            self.ended += drawn

    async def _grow_trees(self) -> None:
        trees = [_Tree([Path((number,))], self._plan.width) for number in range(self._plan.trees)]
        while any(tree.growing for tree in trees) and self._may_go_on():
            drawn = await together(self._children(tree) for tree in trees)
            await self._verified.grow(path.steps for some in drawn for path in some if not path.is_cut)
            for tree, children in zip(trees, drawn, strict=True):
                self._prune(tree, children)
            self._verified.forget(path.steps for tree in trees for path in tree.growing)

    async def _children(self, tree: _Tree) -> list[Path]:
        """What is drawn behind the prefixes of a tree; of the same text one."""
        plan = self._plan
        drawn = await together(
            self._writer.step(path, number)
            for path in tree.growing
            for number in range(plan.branch if path.steps else plan.branch * tree.width)
        )
        return distinct(drawn)

    def _prune(self, tree: _Tree, children: Sequence[Path]) -> None:
        self.ended += [path for path in children if not path.goes_on]
        best = ranked([path for path in children if not path.is_cut], self.score)[: tree.width]
        tree.growing = [path for path in best if path.goes_on]
        tree.width -= len(best) - len(tree.growing)

    async def _grow_chains(self) -> None:
        chains = [_Chain(Path((number,))) for number in range(self._plan.n)]
        while (open_ := [chain for chain in chains if chain.path.goes_on]) and self._may_go_on():
            drawn = await together(self._writer.step(chain.path, len(chain.tried)) for chain in open_)
            await self._verified.grow(path.steps for path in drawn if not path.is_cut)
            for chain, path in zip(open_, drawn, strict=True):
                chain.tried.append(path)
                self._settle(chain)
            self._verified.forget(path.steps for chain in chains for path in (chain.path, *chain.tried) if path.goes_on)

    def _settle(self, chain: _Chain) -> None:
        """Take a step that is good enough, or the best of all tries once they are used up."""

        def gain(path: Path) -> float | None:
            """The lowest reward of what was drawn; a draw that ended nowhere has none."""
            new = self._verified.rewards(path.steps)[len(chain.path.steps) :]
            known = [reward for reward in new if reward is not None]
            return min(known) if known and len(known) == len(new) and not path.is_cut else None

        value = gain(chain.tried[-1])
        if (value is None or value < self._plan.threshold) and len(chain.tried) < self._plan.tries:
            return
        usable = [path for path in chain.tried if not path.is_cut] or chain.tried
        chain.path, chain.tried = ranked(usable, gain)[0], []
        if not chain.path.goes_on:
            self.ended.append(chain.path)
