"""JSON as every door takes it: UTF-8, each key of an object once, and nothing that is no JSON.

Readers are lenient, each in its own way: of a key that stands twice they take the last value, and
who looked at the first one has seen something else than what was done. Files, bodies of requests
and scenarios are all held against this one text.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

BOM = b"\xef\xbb\xbf"
"""What some programs write before UTF-8. It is no part of the text, and is dropped at any door."""

DEEPEST = 100
"""Objects and lists in each other. Readers give up at depths of their own, each in other words."""
_TOO_DEEP = ("nested_too_deeply", "it is nested too deeply")


class NotStrict(ValueError):
    """The text cannot be taken. `code` is stable; the message repeats nothing of the text."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def text_of(raw: bytes) -> str:
    """The text in these bytes, without the mark."""
    try:
        return raw.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        byte = error.start + 1
        raise NotStrict("not_utf8", f"it is not UTF-8: byte {byte} begins no character") from None


def loads(raw: bytes) -> Any:
    """What the text says, or NotStrict."""
    text = text_of(raw)
    try:
        found = _decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise NotStrict("json_invalid", f"it is no JSON: {error.msg} at {place}") from None
    except RecursionError:
        raise NotStrict(*_TOO_DEEP) from None
    level = [found]
    for _ in range(DEEPEST):
        level = [part for each in level for part in _parts(each)]
        if not level:
            break
    else:
        raise NotStrict(*_TOO_DEEP)
    if "\\u" in text:
        _whole_characters(found)
    return found


def check(raw: bytes, keys: int | None = None) -> None:
    """Refuse what `loads` would refuse, in a text that has been parsed already.

    `keys` is how many different keys the parser found in a flat object. Without blanks every key
    ends in `":`: if there are no more of these than keys were found, no key stands twice. A file
    pays 0.5 us a line for that instead of 3.
    """
    if keys is None or raw.translate(None, b" \t\r\n").count(b'":') != keys:
        loads(raw)


def _parts(value: Any) -> list[Any]:
    """What lies in it and holds more."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in held if isinstance(each, dict | list)]


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("repeated_key", "a key stands twice in one object")
    return found


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise NotStrict("number_too_long", "a number has too many digits") from None


def _no_number(_: str) -> NoReturn:
    raise NotStrict("json_invalid", "it is no JSON: a number is finite")


def _whole_characters(found: Any) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotStrict("half_a_character", "a text holds half of a surrogate pair") from None


_decode = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=_integer, parse_constant=_no_number
).decode
