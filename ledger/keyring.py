"""Key-encryption keys: what wraps the keys of persons, kept anywhere but in the database.

Each is 32 bytes, written as 64 hexadecimal digits, and is called by a digest of itself, so that a
wrong one cannot pass for it. One of them wraps at a time: `ledger_meta` names it. A ledger's root
key, wrapped by it, stays the same for good: what is looked up and compared is keyed with its like.
"""

import hmac
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.kernel.refusal import Refusal

KEY_BYTES = 32
NONCE_BYTES = 12
_WRITTEN = re.compile(r"[0-9a-fA-F]{64}")


@dataclass
class KeyNotHere(Refusal):
    """The key-encryption key that this needs is not among those that this process was given."""

    code = "key_not_here"
    key_id: str


class UnusableKeys(Exception):
    """The keys cannot be used; the message says why, and repeats nothing of them."""


class Tampered(Exception):
    """What is stored encrypted is not as it was written, or not where."""


@dataclass(frozen=True)
class Source:
    """Where keys come from: what that is called, how they are read, first the one for a ledger that
    is made; and how such a one is kept there, where that can be."""

    place: str
    read: Callable[[], str]
    keep: Callable[[str], None] | None = None


def id_of(key: bytes) -> str:
    """What a key is called."""
    return sha256(b"clubledger key-encryption key" + key).hexdigest()[:12]


def keys_in(text: str, place: str) -> list[bytes]:
    """The keys that a text holds, apart by blanks or commas; what follows a # is a remark."""
    words = re.sub(r"#[^\n]*", " ", text).replace(",", " ").split()
    if not all(map(_WRITTEN.fullmatch, words)):
        raise UnusableKeys(f"{place} holds what is no key: one is 64 hexadecimal digits")
    return [bytes.fromhex(word) for word in words]


class Keyring:
    """The keys that this process was given, by id. It asks again for one that it does not know, so
    that a new one needs no new start where the source can change."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}  # by place, the first for new ledgers
        self._keys: dict[str, bytes] = {}

    def take(self, source: Source) -> None:
        """Take keys from a source as well, from now on. It may have none yet."""
        self._read(source)
        self._sources[source.place] = source

    def _read(self, source: Source) -> list[bytes]:
        found = keys_in(source.read(), source.place)
        self._keys |= {id_of(key): key for key in found}
        return found

    def first(self) -> str:
        """The id of the key for a ledger that is made, which is made as well if there is none."""
        source = next(iter(self._sources.values()), None)
        if source is None:
            raise UnusableKeys("a new ledger needs a key, and nobody named where keys are")
        found = self._read(source)
        if not found and source.keep is not None:
            source.keep(token_bytes(KEY_BYTES).hex())
            found = self._read(source)
        if not found:
            raise UnusableKeys(f"{source.place} holds no key, and a new ledger needs one")
        return id_of(found[0])

    @property
    def place(self) -> str:
        """Where its keys come from."""
        return " or ".join(self._sources) or "anything that was named"

    def known(self) -> list[str]:
        """The ids of those that its sources have now."""
        found = [key for source in self._sources.values() for key in self._read(source)]
        return [id_of(key) for key in found]

    def key(self, key_id: str) -> bytes:
        """A key by its id; raises KeyNotHere."""
        if not self.holds(key_id):
            raise KeyNotHere(key_id)
        return self._keys[key_id]

    def holds(self, key_id: str) -> bool:
        """Whether it is here, or by now where they come from."""
        with suppress(UnusableKeys):  # a file that somebody writes just now, for instance
            return key_id in self._keys or key_id in self.known()
        return False

    def wrap(self, key_id: str, key: bytes, bound_to: str) -> bytes:
        """A key under one of these, for one place only."""
        return encrypt(self.key(key_id), key, bound_to)

    def unwrap(self, key_id: str, wrapped: bytes, bound_to: str) -> bytes:
        """It again."""
        return decrypt(self.key(key_id), wrapped, bound_to)


KEYRING = Keyring()
"""That of this process, as `values.PROGRAMME` is its clock."""


def encrypt(key: bytes, content: bytes, bound_to: str) -> bytes:
    """AES-256-GCM under a random nonce, which stands before it."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, bound_to.encode())


def decrypt(key: bytes, sealed: bytes, bound_to: str) -> bytes:
    """It again; raises Tampered."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError):
        raise Tampered("what is stored of a person or a key was not written there") from None


@dataclass(frozen=True)
class Secrets:
    """What a ledger keys its digests and look-ups with, of what `ledger_meta` says. The root key is
    unwrapped when personal data is met, and not before."""

    ledger_id: str
    digest_key: bytes
    wrapped_by: str
    wrapped_root: bytes

    @classmethod
    def of(cls, known: Mapping[str, str]) -> "Secrets":
        """Those of the ledger of which these facts are known."""
        digest_key, root = bytes.fromhex(known["digest_key"]), bytes.fromhex(known["root_key"])
        return cls(known["ledger_id"], digest_key, known["kek"], root)

    @classmethod
    def new(cls, ledger_id: str, key_id: str) -> dict[str, str]:
        """What `ledger_meta` is to say of a ledger that is made."""
        root = KEYRING.wrap(key_id, token_bytes(KEY_BYTES), _root_of(ledger_id))
        return {"kek": key_id, "root_key": root.hex(), "digest_key": token_bytes(32).hex()}

    def rewrapped(self, key_id: str) -> dict[str, str]:
        """What it is to say once another key wraps."""
        root = KEYRING.wrap(key_id, self.root, _root_of(self.ledger_id))
        return {"kek": key_id, "root_key": root.hex()}

    @cached_property
    def root(self) -> bytes:
        """The root key."""
        return KEYRING.unwrap(self.wrapped_by, self.wrapped_root, _root_of(self.ledger_id))

    @cached_property
    def sealed_digests(self) -> bytes:
        """Keys the digests of commands that hold personal data."""
        return _derived(self.root, b"digests of commands")

    def file_key(self, digest: str) -> str:
        """What a file is known by of which this is the digest: whoever does not have the root key
        cannot try what stands in it."""
        key = _derived(self.root, b"digests of files")
        return hmac.digest(key, digest.encode(), "sha256").hex()[:32]

    @cached_property
    def webhooks(self) -> bytes:
        """Encrypts the secrets of webhooks."""
        return _derived(self.root, b"webhook secrets")

    @cached_property
    def jobs(self) -> bytes:
        """Wraps the keys of jobs and of their files."""
        return _derived(self.root, b"jobs")

    @cached_property
    def lookups(self) -> bytes:
        """Keys the blind index."""
        return _derived(self.root, b"blind index")

    @cached_property
    def cursors(self) -> bytes:
        """Encrypts where pages begin: of what can be asked anyway, so no root key is needed."""
        return _derived(self.digest_key, b"cursors of pages")


def _root_of(ledger_id: str) -> str:
    return f"root|{ledger_id}"


@cache
def _derived(root: bytes, what_for: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"clubledger " + what_for).derive(root)
