"""The people of the branch who work with the ledger: one of each kind, for whoever looks around."""

from typing import NamedTuple


class Employee(NamedTuple):
    """A user, with the role that he holds and where."""

    user_id: str
    role_id: str
    clubs: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


STAFF = (
    Employee("li", "clerk", clubs=("health",)),
    Employee("zhao", "campaigner", units=("city-south",)),
    Employee("chen", "manager"),
    Employee("qian", "auditor"),
    Employee("sun", "administrator"),
)
"""In the order in which a visitor meets their pages."""
