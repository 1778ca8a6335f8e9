"""Points: credits open lots, debits use them, lots expire, and either can be reversed."""
