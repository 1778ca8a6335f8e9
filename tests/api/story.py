"""The examples of all commands, told on the small ledger that the pages prepare for them."""

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

from domain.catalogue import COMMANDS
from tests.api.running import clubledger

FILE = Path(__file__).parents[2] / "docs/examples.jsonl"
"""What the pages say to import first."""
PREPARED: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
FIRST, LAST = (
    ("visit.undo",),
    (
        "binding.correct",
        "campaign.change_terms",
        "campaign.close",
        "emergency.end",
        "cohort.freeze",
        "member.leave",
        "report.correct",
    ),
)
"""What other examples end, and what ends what others speak of."""
STORY = [*FIRST, *(name for name in COMMANDS if name not in {*FIRST, *LAST}), *LAST]
"""All of them, in an order in which each is taken. Alone each is taken at once."""


def shown_once(name: str) -> dict[str, None]:
    """What the answer to a command shows once, to who carries it out, as it is told ever after."""
    kinds = get_type_hints(COMMANDS[name].answers) if COMMANDS[name].discloses else {}
    return {each: None for each, kind in kinds.items() if type(None) in get_args(kind)}


def prepare(data_dir: Path) -> None:
    """What the pages say to do first."""
    done = clubledger("import", FILE, data_dir=data_dir)
    assert done.code == 0, done.err
