"""Members for whoever tries the desk: the first eight customers, the same at every scale and seed.

Beside them stand the club `golf`, which opens only on 2009-06-01, and the campaign `spring-2009`,
which takes 20 enrolments in January and February 2009.
"""

from dataclasses import dataclass

DIAMOND, SHORT_OF_POINTS, SILVER, IMPORTANT, GONE, ENROLLED, CONTROL, MEMBER = range(8)
"""Their numbers, from 0."""

POINTS_LEFT = 60
"""What the gold member short of points still has: less than anything in the health club costs."""


@dataclass(frozen=True)
class Example:
    """An example: his tier all year, and his monthly spend in fen."""

    tier: str
    level_fen: int
    shows: str


_ALL = (
    Example("diamond", 186_000, "Diamond: points for every club, and free visits to the lounge."),
    Example("gold", 61_300, "Gold, short of points: the health club is refused."),
    Example(
        "silver", 31_700, "Silver: not eligible for the health club; may enrol in spring-2009."
    ),
    Example("none", 13_900, "Important, without a tier: the health club admits him."),
    Example("silver", 28_800, "Left the network in October 2008: still counted among the VIPs."),
    Example("member", 16_400, "Enrolled in ten_years_gift: spring-2009 is refused, already bound."),
    Example("silver", 30_500, "In the control group of golden_autumn; may enrol in spring-2009."),
    Example("member", 17_200, "Member: eligible for the lounge alone, and pays with points."),
)


def member_id(number: int) -> str:
    """The id of the customer with this number, in the order of joining."""
    return f"m{number + 1:06d}"


PLANNED: tuple[Example, ...] = _ALL
EXAMPLES: dict[str, str] = {member_id(n): example.shows for n, example in enumerate(_ALL)}
"""What each example member shows, by id."""
