"""Prepaid sums: whole packages, as different customers choose them, that add up exactly."""

from bisect import bisect_left
from random import Random


def packages(draw: Random, weights: dict[int, int], count: int, total: int) -> list[int]:
    """A package in yuan for each customer. They add up to the total, if so many packages can.

    Drawn by weight; then single customers move to the next larger or smaller package until the sum
    is right. With few customers there may be no such move left, and the sum stays a little off.
    """
    ladder = sorted(weights)
    chosen = draw.choices(ladder, [weights[package] for package in ladder], k=count)
    missing = total - sum(chosen)
    for _ in range(1_000 + 40 * count):
        if not missing:
            break
        one = draw.randrange(count)
        place = bisect_left(ladder, chosen[one]) + (1 if missing > 0 else -1)
        if 0 <= place < len(ladder):
            step = ladder[place] - chosen[one]
            if abs(step) <= abs(missing):
                chosen[one] += step
                missing -= step
    return chosen
