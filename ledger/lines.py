"""Lines of a file as people have them: copied while they are read, so that what was hashed is
what is taken, whatever becomes of the file; from a pipe as from a disk, in little memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count, repeat
from typing import BinaryIO, NamedTuple, Protocol, TypeAlias

from domain.kernel.refusal import Refusal
from ledger.scratch import scratch
from ledger.strict_json import BOM

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 65_536
"""A longer line is rejected, without the characters that end it."""
ENDLESS_BYTES = 16 << 20
"""A line of so many bytes was written by nobody as a line: the file is refused there and then."""
CHUNK = 5_000
CHUNK_BYTES = 8 << 20
"""So many lines are in memory at once, or fewer if they are long."""


@dataclass
class LineWithoutEnd(Refusal):
    """A line has no end in sight: this is no file of lines."""

    code = "line_without_end"
    line: int
    read_bytes: int


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file as they were when it was read."""

    digest: str  # of its bytes, without the mark that some programs begin UTF-8 with
    count: int
    copy: BinaryIO

    def __call__(self) -> Iterable[bytes]:
        """From the first, each time."""
        self.copy.seek(0)
        return self.copy


class Readable(Protocol):
    """What is read block by block."""

    def read(self, most: int, /) -> bytes:
        """At most so many bytes; none at the end."""


@contextmanager
def read(source: Readable, no_lines: tuple[bytes, ...] = ()) -> Iterator[Lines]:
    """Read a file once, to its end. The copy has no name, and is gone with this process. What
    begins with one of `no_lines` has none, and so none without end."""
    with scratch() as copy:
        digest, count, open_bytes = sha256(), 0, 0
        block = source.read(BLOCK_BYTES).removeprefix(BOM)
        binary = bool(no_lines) and block.startswith(no_lines)
        while block:
            digest.update(block)
            copy.write(block)
            count += block.count(b"\n")
            end = block.rfind(b"\n")
            open_bytes = len(block) - end - 1 + (open_bytes if end < 0 else 0)
            if open_bytes >= ENDLESS_BYTES and not binary:
                raise LineWithoutEnd(count + 1, open_bytes)
            block = source.read(BLOCK_BYTES)
        copy.flush()
        yield Lines(digest.hexdigest(), count + bool(open_bytes), copy)


class Unread(NamedTuple):
    """In place of a line: it gives no fact, and why, told by who reads the file. It repeats nothing
    of the line but the id of a member."""

    code: str
    reason: str
    field: str | None = None
    member_id: str | None = None


Line: TypeAlias = tuple[int, int, bytes | Unread]
"""The number of its file among those of the import, its own in the file, from 1, and its bytes."""


@dataclass(frozen=True, slots=True)
class Source:
    """The facts of an import, in the order in which they are decided."""

    keys: Sequence[str]  # of its files; what is known of them hangs on these
    chunks: Callable[[], Iterator[list[Line]]]
    """From the first each time, in lists that fit into memory."""


def lines_of(key: str, lines: Callable[[], Iterable[bytes]]) -> Source:
    """A file of facts as it stands."""
    return Source([key], lambda: chunks(zip(repeat(0), count(1), lines(), strict=False)))


def chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines in lists that fit into memory."""
    chunk: list[Line] = []
    held_bytes = 0
    for each in lines:
        chunk.append(each)
        held_bytes += len(each[2])
        if len(chunk) == CHUNK or held_bytes > CHUNK_BYTES:
            yield chunk
            chunk, held_bytes = [], 0
    if chunk:
        yield chunk
