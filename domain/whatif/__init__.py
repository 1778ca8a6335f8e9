"""What if: the recorded history, decided again under changed rules. Pure, as all of the domain.

`scenario` says what is changed; `replay` decides one member's recorded commands again under it.
"""

from domain.whatif.known import LEARNT, Known
from domain.whatif.replay import Happened, Refused, replay, spending
from domain.whatif.scenario import Scenario

__all__ = ["LEARNT", "Happened", "Known", "Refused", "Scenario", "replay", "spending"]
