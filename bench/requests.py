"""What a request for a visit says and is answered, for peers that take the same one."""

from typing import TYPE_CHECKING, Any, TypeAlias

from api.doors import DOOR_OF
from api.http.doors import body_of, receipt_model

_VISIT = DOOR_OF["visit.record"]

if TYPE_CHECKING:
    VisitRequest: TypeAlias = Any
    VisitReceipt: TypeAlias = Any
else:
    VisitRequest, VisitReceipt = body_of(_VISIT), receipt_model(_VISIT.command.answers)
