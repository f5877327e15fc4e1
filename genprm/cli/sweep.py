"""``genprm run RECIPE --out DIR --grid eta=1,2 lr=1e-6,5e-7 --seeds 0,1,2``: a recipe at many points.

Every stage is done once for each combination of the values that it depends on (``genprm.sweep.layout``); the point with
the highest validation best-of-N accuracy is taken, and it alone meets the test. The same command again goes on.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Generator, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from rich.text import Text

from genprm import recipes
from genprm.cli import console
from genprm.cli.replicas import Ended, Order, opened
from genprm.cli.stage_lines import METRICS, check, line_of, make_room
from genprm.cli.sweep_tables import print_choice, print_plan
from genprm.recipes import Recipe
from genprm.sweep import Layout, Part, Point, SweepFolder, axes, choose, figure_of, named, swept
from genprm.sweep.choice import Run, summary, without_choice
from genprm.sweep.grid import SEED, Values, assignments, section_of

if TYPE_CHECKING:
    from genprm.runs.ray import RayCluster
    from genprm.runs.workers import Worker

Waves = Iterable[Sequence[Part]]


class Owed(NamedTuple):
    """A stage that is to be done, and how."""

    stage: str
    line: list[str]
    """The command line, without ``genprm``."""


Course = Generator[Owed, int | None, None]
"""What is owed of a part, one after the other; sent the exit code of each."""


def sweep(
    source: str,
    overrides: Sequence[str],
    out: Path,
    *,
    grid: Sequence[str],
    seeds: str | None = None,
    limit: int | None = None,
    cluster: RayCluster | None = None,
    test_again: bool = False,
    tokens_per_s: float = 2500.0,
    dry_run: bool = False,
) -> None:
    """Do a sweep, or print its plan. Raises ``InputError`` before anything is written; ends with a stage that fails."""
    recipe = _limited(swept(recipes.load(source), overrides), limit)
    layout = Layout.of(recipe, axes(recipe, grid, seeds))
    points = assignments(layout.axes)
    parts = [part for late in (False, True) for wave in layout.waves(points, late=late) for part in wave]
    for part in parts:
        check(part.recipe)
    if dry_run:
        print_plan(layout, limit, tokens_per_s)
        return
    folder = SweepFolder(out)
    folder.check(parts)
    with console.stoppable(out), folder:
        job = _Sweep(layout, folder, cluster)
        job.do(layout.waves(points, late=False))
        job.decide(points, test_again)


class _Sweep:
    """A sweep in its folder."""

    def __init__(self, layout: Layout, folder: SweepFolder, cluster: RayCluster | None) -> None:
        self._layout = layout
        self._section = section_of(layout.recipe)
        self._folder = folder
        self._cluster = cluster
        self._figures: dict[str, Any] = {
            "recipe": layout.recipe.name,
            "grid": {axis.name: list(axis.values) for axis in layout.axes},
            "validation": list(self._section.validation),
            "test": list(self._section.test),
            "figure": self._section.figure,
        }
        self._tested = folder.tested()

    def do(self, waves: Waves) -> None:
        """Every part that is owed. What cannot be done ends the program with its exit code."""
        self._write()
        if self._cluster is not None:
            asyncio.run(self._do_on_ray(waves, self._cluster))
            return
        from genprm import cli

        for wave in waves:
            for part in wave:
                course: Course = self._course(part)
                code: int | None = None
                while (owed := _next(course, code)) is not None:
                    code = cli.run(owed.line)

    async def _do_on_ray(self, waves: Waves, cluster: RayCluster) -> None:
        from genprm.runs.pool import as_finished
        from genprm.runs.ray import open_ray

        wanted = [[part for part in wave if self._is_owed(part)] for wave in waves]
        if not any(wanted):
            return
        workers = await open_ray(opened, cluster)
        try:
            for wave in wanted:
                waiting = iter(wave)
                take, work = partial(next, waiting, None), partial(self._do_part, workers)
                async with aclosing(as_finished(take, work, workers.capacity)) as done:
                    async for _ in done:
                        pass
        finally:
            await workers.aclose()

    async def _do_part(self, workers: Worker[Order, Ended, str], part: Part) -> None:
        course: Course = self._course(part)
        code: int | None = None
        while (owed := _next(course, code)) is not None:
            log = self._folder.path / part.folder / f"{owed.stage}.log"
            ended = await workers.run(Order(tuple(owed.line), str(Path.cwd()), str(log)))
            if code := ended.code:
                console.err().print(Text(f"{part.folder}: {ended.said} (see {log})"), soft_wrap=True)

    def _is_owed(self, part: Part) -> bool:
        return not all(self._folder.has(part.folder, stage.name) for stage in part.recipe.stages)

    def _course(self, part: Part) -> Course:
        """What is owed of a part. A training that diverges fails, and others go on without it."""
        folders, to = self._folder.folders(part), console.err()
        for stage, needs in zip(part.recipe.stages, part.needs, strict=True):
            there = self._folder.has(part.folder, stage.name)
            if there or not all(self._folder.has(part.folders[name], name) for name in needs):
                continue
            line = line_of(stage, folders, str(self._folder.begin(part)))
            make_room(stage, folders)
            self._folder.mark(part, stage, "begun")
            to.rule(Text(f"{part.folder} · {stage.name}: genprm {shlex.join(line)}"), align="left", style="dim")
            code = yield Owed(stage.name, line)
            if code == console.DIVERGED and stage.verb == "train":
                self._folder.mark(part, stage, "failed")
                to.print(f"{part.folder}: the training diverged, and the sweep goes on without it", soft_wrap=True)
            elif code:
                raise typer.Exit(code)
            else:
                self._folder.mark(part, stage, "finished")

    def decide(self, points: Sequence[Values], test_again: bool) -> None:
        """Choose by validation, then test what is chosen, unless another point was tested before."""
        choice = choose(self._points(points))
        chosen = choice.chosen
        self._figures |= {"points": [point.as_dict() for point in choice.points], "chosen": chosen.name}
        before = [name for name in self._tested if name != chosen.name]
        if self._section.test and (test_again or not before):
            # Said before it happens: a test that was begun has been looked at.
            self._tested.setdefault(chosen.name, {})
            runs = [point for point in points if _without_seed(point) == dict(chosen.values)]
            self.do(self._layout.waves(runs, late=True))
            self._tested[chosen.name] = self._test_figures(runs)
        self._write()
        known = next((point for point in points if self._read(point, self._section.validation)), None)
        beside = "" if known is None else without_choice(self._metrics(self._section.validation[0], known))
        print_choice(choice, beside, self._tested.get(chosen.name, {}))
        if before and chosen.name not in self._tested:
            console.err().print(
                f"{', '.join(before)} was tested before and is not the choice any more; a test that is looked at again "
                "decides too: --test-again if that is wanted",
                soft_wrap=True,
            )  # fmt: skip
        console.out().print(f"all figures in {self._folder.path / 'sweep.json'}", soft_wrap=True)

    def _points(self, points: Sequence[Values]) -> list[Point]:
        groups: dict[str, list[Values]] = {}
        for point in points:
            groups.setdefault(named(_without_seed(point)), []).append(point)
        return [Point(_without_seed(runs[0]), tuple(map(self._run, runs))) for runs in groups.values()]

    def _run(self, point: Values) -> Run:
        found = self._read(point, self._section.validation)
        return Run(point.get(SEED), named(point), found)

    def _read(self, point: Values, stages: Sequence[str]) -> dict[str, float] | None:
        """The figures of a run, by stage; none where a stage could not be done."""
        if not all(self._folder.has(self._layout.folder(stage, point), stage) for stage in stages):
            return None
        return {stage: figure_of(self._metrics(stage, point), self._section.figure) for stage in stages}

    def _test_figures(self, runs: Sequence[Values]) -> dict[str, Any]:
        by_stage: dict[str, list[float]] = {}
        for run in runs:
            for stage, figure in (self._read(run, self._section.test) or {}).items():
                by_stage.setdefault(stage, []).append(figure)
        beside = {stage: without_choice(self._metrics(stage, runs[0])) for stage in by_stage}
        return {
            stage: {**summary(figures), "figures": figures, "beside": beside[stage]}
            for stage, figures in by_stage.items()
        }

    def _metrics(self, stage: str, point: Values) -> Path:
        return self._folder.path / self._layout.folder(stage, point) / stage / METRICS

    def _write(self) -> None:
        self._folder.write({**self._figures, "tested": self._tested})


def _next(course: Course, code: int | None) -> Owed | None:
    """What is to be done next, given how the last thing ended; none at the end."""
    try:
        return course.send(code)
    except StopIteration:
        return None


def _without_seed(point: Values) -> dict[str, Any]:
    return {name: value for name, value in point.items() if name != SEED}


def _limited(recipe: Recipe, limit: int | None) -> Recipe:
    """``--limit`` as an option of the stages that sample solutions."""
    if limit is None:
        return recipe
    sampling = [stage.name for stage in recipe.stages if stage.verb == "rollout"]
    return recipes.changed(recipe, [f"{name}.limit={limit}" for name in sampling])
