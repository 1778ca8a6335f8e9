"""Files by a job: taken in or only checked, as `clubledger import` does it; and a mapping proposed.

Each line is decided by the rights of who started the job, as if he had sent it by itself. What is
rejected comes back as files, kept before the good lines are committed: whoever is killed in between
finds them when the same job is begun again.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from api.doors import DOOR_OF, Need
from api.files import guessing, readers, taking
from api.files.mapping import Mapping, load
from api.files.readers import File
from api.files.rejecting import TableRejects
from api.files.taking import Taking, summary
from api.jobs.work import Work
from api.runtime import problems, rights
from api.runtime.failures import NO_ROOM, CannotWrite, WrongUse
from api.runtime.problems import DoorProblem
from domain.kernel.command import Command
from domain.kernel.refusal import require_excusable
from domain.kernel.values import Code
from ledger import jobs, strict_json
from ledger.commands import parse
from ledger.database import connect
from ledger.facts import OutOfOrder
from ledger.importing import Importer
from ledger.keyring import Secrets
from ledger.lines import Line, Source, Unread
from ledger.scratch import scratch
from projections.engine import names, runner

MOST_MAPPING = 32_768
TITLED, MOST_TITLES = ("unit_id", "club_id", "service_id", "campaign_id", "cohort_id"), 10_000
"""What files may call by its title instead of its id."""
CSV, JSONL, TOML = "text/csv", "application/jsonl", "application/toml"
REASONS, MAPPING = "reasons.jsonl", "mapping.toml"
EXCUSES = Need("corrections.write")
"""What a history needs that says it broke a rule of live desks, beside what each line does."""
MACHINE = "system"
"""The role of an actor that is nobody: who started the job stands for him."""
_STAND_IN = "nobody:yet"

FileName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f/\\]+$", max_length=200)]
MappingText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=MOST_MAPPING)]
FileId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class Brought(BaseModel):
    """A file that was brought."""

    model_config = ConfigDict(extra="forbid")

    file_id: FileId = Field(description="as `POST /v1/files` answered", examples=["0" * 16])
    name: FileName = Field(
        description="what it is called: mappings and rejects go by it", examples=["bills.csv"]
    )


Files = Annotated[list[Brought], Field(min_length=1, max_length=jobs.MOST_FILES)]


class ImportFiles(BaseModel):
    """Take files in: facts a line, or tables by a mapping."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["import"]
    files: Files
    mapping: MappingText | None = Field(
        None, description="what the columns of tables are, in TOML; files of facts need none"
    )
    guess: bool = Field(
        False, description="propose the mapping and go by it; it is among the files that are made"
    )
    check: bool = Field(False, description="decide every line, and write nothing")
    keep_good: bool = Field(
        False,
        description="take the good lines, and give the others back as files; else one bad line"
        " undoes all",
    )
    despite: Annotated[list[Code], Field(max_length=20)] = Field(
        [], description="rules of live desks that the history may have broken"
    )


class GuessMapping(BaseModel):
    """Propose a mapping for tables."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["guess"]
    files: Files


def require(asked: ImportFiles) -> None:
    """Refuses what could never be done, before it waits for its turn."""
    require_excusable(asked.despite)
    if asked.mapping is not None:
        _mapping(asked.mapping)


def _mapping(text: str) -> Mapping:
    try:
        return load(text.encode())
    except WrongUse as wrong:
        raise DoorProblem("bad_mapping", wrong.detail) from None


# ----------------------------------------------------------------------------------- reading files
@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with files, as problems."""
    try:
        yield
    except readers.Unreadable as bad:
        where = {name: value for name, value in bad.more.items() if name in ("file", "line")}
        raise DoorProblem("unreadable_file", bad.detail, where) from None
    except taking.Unmapped as unmapped:
        raise DoorProblem("mapping_missing", None, {"file": unmapped.args[0]}) from None
    except WrongUse as wrong:
        raise DoorProblem("files_unfit", wrong.detail) from None
    except (CannotWrite, OSError) as full:
        if isinstance(full, OSError) and full.errno not in NO_ROOM:
            raise
        raise DoorProblem("files_too_large") from None


def _read(work: Work, asked: ImportFiles | GuessMapping, stack: ExitStack) -> list[File]:
    files = []
    for number, brought in enumerate(asked.files):
        work.step("reading", number, len(asked.files))
        source = work.content(number)
        files.append(stack.enter_context(readers.read(brought.name, source)))
    taking.require_apart(files)
    return files


def _proposed(work: Work, files: list[File]) -> str:
    """A mapping for them, by what the ledger calls its things."""
    with connect(work.dsn) as conn, runner.snapshot(conn):
        titles = [
            (name.removesuffix("_id"), *each)
            for name in TITLED
            for each in names.titled(conn, name, MOST_TITLES)
        ]
    return guessing.mapping_for(files, titles)


def guess(work: Work, asked: GuessMapping) -> dict[str, Any]:
    """Propose a mapping."""
    with ExitStack() as stack, _told():
        text = _proposed(work, _read(work, asked, stack))
    work.begin_files()
    _make(work, MAPPING, TOML, text.encode())
    return {"mapping": text}


def _make(work: Work, name: str, media_type: str, content: bytes) -> None:
    with scratch() as file:
        file.write(content)
        work.make_file(name, media_type, file)


# ------------------------------------------------------------------------------------- taking in
def take(work: Work, asked: ImportFiles) -> dict[str, Any]:
    """Take them in."""
    with ExitStack() as stack, _told():
        files = _read(work, asked, stack)
        mapping = None if asked.mapping is None else _mapping(asked.mapping)
        text = None
        if mapping is None and asked.guess and any(file.kind != "jsonl" for file in files):
            text = _proposed(work, files)
            mapping = _mapping(text)
        key_of = Secrets.of(work.meta).file_key
        load_them = _Loading(work, asked, text, stack)
        if taking.is_plain(files, mapping):
            with suppress(OutOfOrder):
                return load_them(taking.plain(files[0], key_of))
        found = taking.merged(
            stack, files, mapping or Mapping(), key_of, lambda _: work.step("mapping")
        )
        return load_them(found)
    raise AssertionError("it returns before")


class _Loading:
    """Decides what files give, and writes it."""

    def __init__(
        self, work: Work, asked: ImportFiles, guessed: str | None, stack: ExitStack
    ) -> None:
        self._work, self._asked, self._guessed = work, asked, guessed
        self._reasons = stack.enter_context(scratch())

    def __call__(self, found: Taking) -> dict[str, Any]:
        work, asked = self._work, self._asked
        rejects = _Rejects(self, found)
        work.step("checking" if asked.check else "importing", 0, found.count)
        plain = found.facts
        facts = Source(
            plain.keys, lambda: (_admitted(work, asked, each) for each in plain.chunks())
        )
        done = Importer(work.dsn, now=work.clock.now()).load_files(
            facts,
            progress=work.advance,
            rejects=rejects,
            keep=not asked.check,
            in_order=found.mapping is None,
            tell_late=True,
            despite=tuple(asked.despite),
        )
        if not rejects.sealed and not done.replayed:
            self.make_files(lambda: None)
        told = summary(done, found.places, asked.check)
        first = [rejects.told(each) for each in done.rejections]
        return {
            **told,
            "skipped": found.skipped,
            "rejections": first,
            "rejected_by_code": rejects.by_code,
            "mapping": self._guessed,
        }

    def make_files(self, rejected: Callable[[], None]) -> None:
        """Keep what it is to make, in the place of what an attempt before has made: before the good
        lines are committed, if there are such."""
        work = self._work
        work.begin_files()
        rejected()
        if self._reasons.seek(0, os.SEEK_END):
            work.make_file(REASONS, JSONL, self._reasons)
        if self._guessed is not None:
            _make(work, MAPPING, TOML, self._guessed.encode())

    @property
    def reasons(self) -> BinaryIO:
        return self._reasons


class _Rejects(TableRejects):
    """Rejects that a job gives back."""

    def __init__(self, loading: _Loading, found: Taking) -> None:
        self._loading, self._job = loading, loading._work
        super().__init__(found.places, found.mapping or Mapping(), self, loading.reasons)
        self.keeps_good = loading._asked.keep_good

    def begin(self) -> None:
        self._job.again()
        super().begin()

    def seal(self) -> None:
        """Keep the files; the good lines are committed next, if he still may."""
        self._job.require_rights()
        self._loading.make_files(super().seal)

    def clear(self) -> None:
        """As a shelf: it is empty."""

    @contextmanager
    def put(self, name: str) -> Iterator[BinaryIO]:
        """As a shelf: a file to write."""
        with scratch() as file:
            yield file
            file.flush()
            self._job.make_file(name, JSONL if name.endswith(".jsonl") else CSV, file)


# ---------------------------------------------------------------------------------- line by line
def _admitted(work: Work, asked: ImportFiles, chunk: list[Line]) -> list[Line]:
    work.go_on()
    return [(file, line, _line(work, asked, said)) for file, line, said in chunk]


def _line(work: Work, asked: ImportFiles, said: bytes | Unread) -> bytes | Unread:
    """A line under the name of who may tell it; or why he may not. What cannot be read is left as
    it is, for who reads it next to say."""
    if isinstance(said, Unread) or not said.strip():
        return said
    try:
        strict_json.check(said)
        fields = msgspec.json.decode(said.removeprefix(strict_json.BOM))
    except (strict_json.NotStrict, msgspec.DecodeError, RecursionError):
        return said
    if not isinstance(fields, dict):
        return said
    named = fields.get("actor", work.job.actor)
    if named is not None and not isinstance(named, str):
        return said
    if named is not None and named.partition(":")[0] == MACHINE:
        named = work.job.actor
    try:
        command = parse(msgspec.json.encode({**fields, "actor": named or _STAND_IN}))
    except ValidationError:
        return msgspec.json.encode({"actor": _STAND_IN, **fields})
    try:
        actor = _actor(work, asked, command, named)
    except DoorProblem as problem:
        field = "actor" if problem.code == "not_in_your_name" else None
        member_id = getattr(command, "member_id", None)
        return Unread(problem.code, problems.title_of(problem.code), field, member_id)
    if fields.get("actor") == actor:
        return said
    return msgspec.json.encode({**fields, "actor": actor})


def _actor(work: Work, asked: ImportFiles, command: Command, named: str | None) -> str:
    if command.despite or asked.despite:
        rights.admitted(work.conn, work.clock, work.who, EXCUSES, {})
    need = DOOR_OF[command.called].need
    return rights.admitted(work.conn, work.clock, work.who, need, command.__dict__, named)
