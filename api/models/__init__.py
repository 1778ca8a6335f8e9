"""What the doors tell, as models: the command line's --json and HTTP say the same."""

from api.models.base import Dated, Mean, Moment, Number, Rate, View, plain_number
from api.models.campaigns import Arm, Campaign, CampaignFigures, Campaigns, Return
from api.models.clubs import Club, ClubCard, Clubs, ClubUse, Price, Use
from api.models.figures import (
    Between,
    Cause,
    Changes,
    Demo,
    EventRef,
    Explanation,
    Figure,
    FigureChange,
    Figures,
    Input,
    SumChange,
)
from api.models.log import Event, History, LogPage
from api.models.members import Account, Binding, Entry, Lot, LotUse, Member, Members, Statement
from api.models.receipts import EnrolmentReceipt, Receipt, UndoReceipt, VisitReceipt
from api.models.status import Lane, Standstill, Status
from api.models.whatif import Affected, Difference, FigureDifference, Refusal, Refusals, WhatIf

__all__ = [
    "Account",
    "Affected",
    "Arm",
    "Between",
    "Binding",
    "Campaign",
    "CampaignFigures",
    "Campaigns",
    "Cause",
    "Changes",
    "Club",
    "ClubCard",
    "ClubUse",
    "Clubs",
    "Dated",
    "Demo",
    "Difference",
    "EnrolmentReceipt",
    "Entry",
    "Event",
    "EventRef",
    "Explanation",
    "Figure",
    "FigureChange",
    "FigureDifference",
    "Figures",
    "History",
    "Input",
    "Lane",
    "LogPage",
    "Lot",
    "LotUse",
    "Mean",
    "Member",
    "Members",
    "Moment",
    "Number",
    "Price",
    "Rate",
    "Receipt",
    "Refusal",
    "Refusals",
    "Return",
    "Standstill",
    "Statement",
    "Status",
    "SumChange",
    "UndoReceipt",
    "Use",
    "View",
    "VisitReceipt",
    "WhatIf",
    "plain_number",
]
