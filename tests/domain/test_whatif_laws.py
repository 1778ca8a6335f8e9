"""What holds of every replay, over histories that nobody thought of."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.visits import VisitRecorded
from domain.whatif import Scenario
from projections.plain import Plain, Stored
from tests.projections.histories import STEPS, World, everything, history
from tests.projections.supposed import scenario, suppose

EXAMPLES = settings(max_examples=60, deadline=None)

NOTHING_BY_MANY_WORDS = scenario(
    {"change": "earning_rate", "factor": "7/7"},
    {"change": "service_price", "club": "lounge", "factor": "1"},
    {"change": "service_price", "club": "health", "service": "room", "factor": "3/3"},
    {"change": "campaign_terms", "campaign": "plain", "min_monthly_fen": 0, "since": "2009-01-01"},
    {"change": "campaign_terms", "campaign": "drawn", "gift_bp": 1000, "since": "2009-01-01"},
    {"change": "expiry_policy", "expires": "never", "rule": "no such rule"},
)
