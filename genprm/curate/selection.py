"""The chain of filters that the options of a curation ask for."""

from __future__ import annotations

from genprm.curate.consensus import Believed, GenPRMConsensus, LessonsConsensus, SiblingConsensus
from genprm.curate.contamination import Decontaminate
from genprm.curate.duplicates import NearDuplicates
from genprm.curate.filters import Balance, CodeConflict, Length, PerProblem, Stage, Truncate
from genprm.curate.options import Curation
from genprm.errors import InputError
from genprm.records import read_solutions


def stages(options: Curation) -> list[Stage]:
    """The filters in their order. Raises ``InputError`` for settings that cannot be met, before anything is asked."""
    chain: list[Stage] = []
    if options.decontaminate:
        chain.append(Decontaminate({name: _problems(place) for name, place in options.decontaminate.items()}))
    match options.consensus:
        case "genprm" | "genprm-all":
            if options.annotator is None:
                raise InputError("consensus 'genprm' needs an annotator; give annotator.model=NAME, or consensus=none")
            chain.append(GenPRMConsensus("all" if options.consensus == "genprm-all" else "first-error"))
        case "lessons-two" | "lessons-all":
            sources = (options.judge is not None) + (options.human is not None) + 1
            if sources < (3 if options.consensus == "lessons-all" else 2):
                raise InputError(
                    f"consensus '{options.consensus}' needs more sources than these {sources}; give judge.model=NAME "
                    "or human=FILE, or consensus=none"
                )
            chain.append(LessonsConsensus("all" if options.consensus == "lessons-all" else "two"))
        case "siblings":
            if options.annotator is None:
                raise InputError(
                    "consensus 'siblings' needs an annotator; give annotator.model=NAME, or consensus=none"
                )
            chain.append(SiblingConsensus())
        case "belief":
            chain.append(Believed(options.least_belief))
        case "none":
            pass
    if options.truncate:
        chain.append(Truncate())
    if options.annotator is not None:
        if options.code_conflicts:
            chain.append(CodeConflict())
        chain.append(Length(options.max_tokens))
    if options.near_duplicates is not None:
        chain.append(NearDuplicates(options.near_duplicates))
    if options.per_problem is not None:
        chain.append(PerProblem(options.per_problem, options.seed))
    if options.with_error is not None:
        chain.append(Balance(options.with_error, options.seed))
    return chain


def _problems(place: str) -> list[str]:
    return [solution.problem for solution in read_solutions(place).solutions]
