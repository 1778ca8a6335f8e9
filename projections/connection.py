"""The connections of this room: plain psycopg ones, in autocommit, as `ledger.database` opens them.

Texts put together here come from the classes of the catalogue and of the projections, and from
whole numbers; what a caller gives is always a parameter.
"""

from typing import Any

from psycopg import Connection

Conn = Connection[Any]
