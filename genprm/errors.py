"""The exceptions of genprm, one tree.

    GenPRMError
    ├── InputError            the caller's data or options are wrong; command line exit code 2
    │   ├── RecordError       a line of a JSONL file (names file, line, field)
    │   ├── RecipeError       a recipe or override (names file and key)
    │   ├── ModelError        a model folder or name that cannot be loaded
    │   ├── IdentityError     a run directory that belongs to another configuration (names the keys)
    │   └── Diverged          a training whose loss or weights are no numbers any more; exit code 4
    ├── MissingDependency     an extra is not installed (gives the pip line); exit code 2
    ├── EngineUnavailable     the engine is down; exit code 3
    ├── SandboxUnavailable    the sandbox is down; never a verdict; exit code 3
    └── GraderUnavailable     the process that compares answers is down; never a verdict; exit code 3

Every message is one sentence for a person: what is wrong, with values, and what to do next.
"""

from __future__ import annotations

from typing import Any


class GenPRMError(Exception):
    """Base of every error that genprm raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is, message and all: some take other arguments than the message, and all may come from a replica.
        return _rebuilt, (type(self), str(self), self.__dict__)


def _rebuilt(kind: type[GenPRMError], message: str, fields: dict[str, Any]) -> GenPRMError:
    error = kind.__new__(kind, message)
    error.__dict__.update(fields)
    return error


class InputError(GenPRMError):
    """The caller's data or options cannot be used."""


def require_counts(given: object, *names: str) -> None:
    """Raises ``InputError`` for a field of these names that is no whole number from 1."""
    for name in names:
        if type(value := getattr(given, name)) is not int:
            raise InputError(f"{name} is {value!r}; it must be a whole number")
        if value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1")


class RecordError(InputError):
    """A record of an input file cannot be used."""

    def __init__(self, message: str, *, source: str, line: int | None = None, field: str | None = None) -> None:
        self.source = source
        self.line = line
        self.field = field
        place = source if line is None else f"{source}, line {line}"
        if field is not None:
            place += f", field '{field}'"
        super().__init__(f"{place}: {message}")


class RecipeError(InputError):
    """A recipe or one of its overrides cannot be used."""


class ModelError(InputError):
    """A model cannot be loaded from the name or folder given."""


class IdentityError(InputError):
    """A run directory holds a run of another configuration."""


class Diverged(InputError):
    """The loss or the weights of a training are no numbers any more: its own values make it impossible."""


class MissingDependency(GenPRMError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'genprm[{extra}]'")


class EngineUnavailable(GenPRMError):
    """The engine that runs the model is down. Infrastructure failure, never a verdict."""


class SandboxUnavailable(GenPRMError):
    """The sandbox that runs code is down. Infrastructure failure, never a verdict."""


class GraderUnavailable(GenPRMError):
    """The process that compares answers is down. Infrastructure failure, never a verdict."""
