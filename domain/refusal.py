"""A refusal: the reason why a command was not carried out, with the numbers that decided it."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

REFUSALS: dict[str, type["Refusal"]] = {}
"""Every refusal by its code. Defining a class registers it."""


@dataclass  # not frozen: Starlette sets __traceback__ on it
class Refusal(Exception):
    """Nothing was written. `code` is stable; the fields are the numbers."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.title = (cls.__doc__ or cls.__name__).strip().splitlines()[0]
        if cls.code in REFUSALS:
            raise TypeError(f"two refusals are called {cls.code}")
        REFUSALS[cls.code] = cls

    def numbers(self) -> dict[str, Any]:
        """The fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value}" for name, value in self.numbers().items())
        return f"{self.code}: {self.title} ({said})" if said else f"{self.code}: {self.title}"
