"""`import`: history from files, all of it or what is good of it."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from api.cli.telling_imports import Asked, Telling
from api.cli.terminal import output
from api.cli.terminal.looking import refusable
from api.cli.terminal.rejects import Held, held
from api.cli.terminal.sources import source
from api.files import readers, taking
from api.files.mapping import MOST_BYTES, Mapping, load
from api.files.readers import File
from api.files.rejecting import Directory, TableRejects, Told
from api.files.taking import Taking
from api.runtime.failures import CannotWrite, WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from domain.kernel.refusal import NeverExcused, desk_rules, require_excusable
from domain.kernel.values import PROGRAMME
from ledger.database import InstallError, plan_said, tiers_said
from ledger.facts import OutOfOrder
from ledger.importing import Importer
from ledger.keyring import Secrets
from ledger.lines import Source
from ledger.rejects import Rejects


def run(settings: Settings, asked: Asked) -> int:
    """Take files in, all of them or what is good of them."""
    begun = time.monotonic()
    _require_excusable(asked.despite)
    with ExitStack() as stack:
        stack.enter_context(refusable())
        files = read_all(stack, asked.files, ahead=taking.AHEAD)
        mapping = _mapping(asked.mapping)
        if asked.as_told and not taking.is_plain(files, mapping):
            raise WrongUse("--as-told is of one file of facts: several are told in time's order.")
        # Before the cells are read: days are those of the ledger's zone.
        database = stack.enter_context(_ledger(settings, asked.check))
        key_of = Secrets.of(database.meta).file_key
        if taking.is_plain(files, mapping):
            with suppress(OutOfOrder):  # then it is sorted, as several are
                return _imported(database, asked, begun, taking.plain(files[0], key_of))
        found = _merged(stack, files, mapping or Mapping(), key_of)
        return _imported(database, asked, begun, found)


def read_all(stack: ExitStack, names: Sequence[str], ahead: int = 0) -> list[File]:
    """The files as they are now: each is read once, whatever kind of file it is, and the rows of
    the first workbooks from here on."""
    if not names:
        raise WrongUse("import takes the names of files; `-` is the standard input.")
    if len(set(names)) < len(names):
        raise WrongUse("A file is named twice.")
    files: list[File] = []
    for name in names:
        whole = sum(file.begun is not None for file in files) < ahead
        with source(name) as opened_file:
            files.append(stack.enter_context(readers.read(name, opened_file, whole=whole)))
    taking.require_apart(files)
    return files


def _mapping(name: str | None) -> Mapping | None:
    if name is None:
        return None
    with source(name) as file:
        return load(file.read(MOST_BYTES + 1), name)


def _merged(
    stack: ExitStack, files: Sequence[File], mapping: Mapping, key_of: Callable[[str], str]
) -> Taking:
    """The facts of all files in the order of time."""
    with output.steps() as steps:
        try:
            found = taking.merged(
                stack, files, mapping, key_of, lambda name: steps.begin(f"reading {name}", 0)
            )
        except taking.Unmapped as unmapped:
            (name,) = unmapped.args
            raise WrongUse(
                f"{name} is a table, and no mapping says what its columns are: `clubledger import"
                f" --guess {name}` proposes one, --mapping takes it."
            ) from None
    for each in found.skipped:
        output.note(f"{each} is left out: the mapping says nothing of it")
    return found


def _imported(database: Database, asked: Asked, begun: float, found: Taking) -> int:
    """Decide facts, write them, and tell what was done."""
    facts, places, mapping = found.facts, found.places, found.mapping
    with ExitStack() as stack:
        into = _held(stack, asked, facts, mapping)
        reasons: BinaryIO = into.reasons if into else stack.enter_context(TemporaryFile())
        rejects: Rejects = Told(places, into.lines if into else None, reasons)
        if into is not None and mapping is not None:
            rejects = TableRejects(places, mapping, Directory(into.directory), reasons)
        if into is not None:
            into.rejects = rejects
        with output.steps() as steps:
            steps.begin("checking" if asked.check else "importing", found.count)
            importer = Importer(database.dsn, now=database.clock.now())
            try:
                done = importer.load_files(
                    facts,
                    progress=steps.advance,
                    rejects=rejects,
                    keep=not asked.check,
                    in_order=mapping is None and not asked.as_told,
                    tell_late=True,
                    despite=asked.despite,
                )
            except OSError as error:
                raise CannotWrite(f"The rejects cannot be written: {error.strerror}.") from error
        written = asked.keep_good if into is not None and into.place(done.rejected) else None
        took_s = time.monotonic() - begun
        return Telling(asked, done, places, written, reasons, rejects.by_code, took_s).told()


def _held(stack: ExitStack, asked: Asked, facts: Source, mapping: Mapping | None) -> Held | None:
    if asked.keep_good is None or asked.check:
        return None
    key = facts.keys[0] if len(facts.keys) == 1 else _digest(facts.keys)
    return stack.enter_context(held(asked.keep_good, key, mapping is not None))


def _digest(keys: Sequence[str]) -> str:
    return sha256("\0".join(keys).encode()).hexdigest()


def _require_excusable(despite: tuple[str, ...]) -> None:
    try:
        require_excusable(despite)
    except NeverExcused as refusal:
        known = ", ".join(desk_rules())
        raise WrongUse(f"--despite: {refusal.title} It may be {known}.") from None


@contextmanager
def _ledger(settings: Settings, check: bool) -> Iterator[Database]:
    """The ledger; to check where there is none yet, one that goes away again."""
    with ExitStack() as stack:
        nowhere = settings.database_url is None and not (settings.data_dir / "pgdata").is_dir()
        if check and nowhere:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="clubledger-"))
            Path(directory).chmod(0o711)  # for the account of the server
            settings = settings.model_copy(update={"data_dir": Path(directory) / "check"})
        yield stack.enter_context(opened(settings, create=not check or nowhere))


def template(kind: str, names: Sequence[str]) -> int:
    """Write an empty sheet, and say the mapping that takes it in."""
    from api.files import templates

    if len(names) != 1 or not names[0].lower().endswith((".csv", ".xlsx")):
        raise WrongUse("--template takes the name of one new file, .csv or .xlsx.")
    path = Path(names[0])
    mapping = templates.mapping_of(kind, path.name)
    made = templates.as_xlsx if path.suffix.lower() == ".xlsx" else templates.as_csv
    try:
        with path.open("xb") as file:
            file.write(made(kind))
    except FileExistsError:
        raise WrongUse(f"{path} is there already: name a new file.") from None
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror}.") from error
    output.say(mapping.rstrip("\n"))
    return 0


def keep_what_is_said(settings: Settings) -> None:
    """Where no ledger is opened its tiers and phone numbers are those that it is going to be made
    with."""
    if settings.tiers:
        try:
            said = tiers_said(settings.tiers)
        except InstallError as error:
            raise WrongUse(f"CLUBLEDGER_TIERS: {error}.") from None
        PROGRAMME.tiers = tuple(said)
        PROGRAMME.titles = {tier: titles for tier, titles in said.items() if titles}
    if settings.phones:
        try:
            PROGRAMME.phones = plan_said(settings.phones)
        except InstallError as error:
            raise WrongUse(f"CLUBLEDGER_PHONES: {error}.") from None


def guess(names: Sequence[str], as_json: bool) -> int:
    """Propose a mapping for files."""
    from api.files import guessing

    with ExitStack() as stack, refusable():
        proposed = guessing.mapping_for(read_all(stack, names))
    if as_json:
        output.tell({"mapping": proposed})
    else:
        output.say(proposed.rstrip("\n"))
    return 0
