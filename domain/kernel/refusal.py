"""A refusal: the reason why a command was not carried out, with the numbers that decided it."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar

from domain.kernel.values import PROGRAMME

REFUSALS: dict[str, type["Refusal"]] = {}
"""Every refusal by its code. Defining a class registers it."""


@dataclass  # not frozen: Starlette sets __traceback__ on it
class Refusal(Exception):
    """Nothing was written. `code` is stable; the fields are the numbers.

    Beside them stand the ids that were asked for, for whoever catches it: fields that end in `_id`.
    """

    code: ClassVar[str]
    title: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if "code" not in vars(cls):
            return  # a base of several refusals
        cls.title = (cls.__doc__ or cls.__name__).strip().splitlines()[0]
        if cls.code in REFUSALS:
            raise TypeError(f"two refusals are called {cls.code}")
        REFUSALS[cls.code] = cls

    @classmethod
    def members(cls) -> list[str]:
        """The names of the numbers.

        An id that was sent is none: whoever sent it knows it, and it may be somebody's phone.
        """
        return [field.name for field in fields(cls) if not field.name.endswith("_id")]

    def numbers(self) -> dict[str, Any]:
        """What decided, by name: all that is told of a refusal. Instants are those of the
        programme's clocks."""
        return {name: _local(getattr(self, name)) for name in self.members()}

    def __str__(self) -> str:
        said = ", ".join(f"{name}={_shown(value)}" for name, value in self.numbers().items())
        return f"{self.code}: {self.title} ({said})" if said else f"{self.code}: {self.title}"


def _local(value: Any) -> Any:
    return value.astimezone(PROGRAMME.zone) if isinstance(value, datetime) else value


def _shown(value: Any) -> str:
    """A number in a sentence."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, list | tuple | set | frozenset):
        return " ".join(map(_shown, value)) or "none"
    return str(value)


class DeskRule(Refusal):
    """Refused to protect a live desk: a control group, a limit, a price that was shown. What is
    recorded of the past may have happened all the same, and a history may say so (`despite`).

    A refusal that is none is what no history may break: two facts of one name, points below
    nothing, leaving before joining, what is not known.
    """


@dataclass
class NeverExcused(Refusal):
    """No history may break this rule; or there is none of this name."""

    code = "never_excused"
    rule: str | None


def require_excusable(codes: Iterable[str]) -> None:
    """Refuses what names a rule that does not protect a live desk."""
    for code in codes:
        kind = REFUSALS.get(code)
        if kind is None or not issubclass(kind, DeskRule):
            raise NeverExcused(None if kind is None else code)


def desk_rules() -> list[str]:
    """The codes of the rules that protect a live desk."""
    return sorted(code for code, kind in REFUSALS.items() if issubclass(kind, DeskRule))
