"""What the doors tell of a write, as models: the command line's --json and HTTP say the same."""

from api.models.receipts import (
    CorrectionReceipt,
    EnrolmentReceipt,
    Receipt,
    UndoReceipt,
    VisitReceipt,
)

__all__ = ["CorrectionReceipt", "EnrolmentReceipt", "Receipt", "UndoReceipt", "VisitReceipt"]
