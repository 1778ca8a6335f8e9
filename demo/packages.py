"""Prepaid sums: whole packages, as different customers choose them, that add up exactly."""

from bisect import bisect_left
from random import Random


def packages(draw: Random, weights: dict[int, int], heads: int, total: int) -> list[int]:
    """A package in yuan for each head. They add up to the total, if so many packages can.

    Drawn by weight; then single heads move to the next larger or smaller package until the sum is
    right. With few heads there may be no such move left, and the sum stays a little off.
    """
    ladder = sorted(weights)
    chosen = draw.choices(ladder, [weights[package] for package in ladder], k=heads)
    missing = total - sum(chosen)
    for _ in range(1_000 + 40 * heads):
        if not missing:
            break
        head = draw.randrange(heads)
        place = bisect_left(ladder, chosen[head]) + (1 if missing > 0 else -1)
        if 0 <= place < len(ladder):
            step = ladder[place] - chosen[head]
            if abs(step) <= abs(missing):
                chosen[head] += step
                missing -= step
    return chosen
