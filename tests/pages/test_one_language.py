"""No text reaches a page in one language alone: whatever code tells of a wrong file has its Chinese
sentence, and pages that tell of errors hold no run of English words."""

import ast
import re
from collections.abc import Iterator
from html import unescape
from inspect import getsource
from types import ModuleType

import httpx
import pytest

from api.files import guessing, making, mapping, merging, readers, taking, workbook
from api.http.pages import words
from api.jobs import doing
from api.runtime import exports, report_files
from tests.addresses import Patient
from tests.pages.conftest import House
from tests.pages.test_audit import FROM_A_PAGE
from tests.pages.test_words import templates
from tests.patience import PATIENCE_S, eventually

RUN = re.compile(r"[A-Za-z]+(?: [A-Za-z]+){2,}")
"""Three English words or more, one behind the other."""
TELLING: dict[ModuleType, dict[str, int | None]] = {
    readers: {"Unreadable": 1, "_why": None, "_complaint": None},
    merging: {"Unreadable": 1},
    making: {"NoColumn": 0},
    mapping: {"WrongUse": 0, "ValueError": 0},
    taking: {"WrongUse": 0},
    workbook: {"ValueError": 0},
    report_files: {"_whole": 0},
    exports: {"DoesNotFit": None},
}
"""What says why something cannot be taken: by module the calls, and which argument is the text; of
what has none, the texts inside a definition of that name."""
SAMPLES = {
    "name": "the mapping",
    "place or 'as a whole'": "table.1",
    "where": "",
    "error": "there is no column 7",
    "' and '.join(places)": "no UTF-8 (line 7) and no GB18030 (line 7)",
}
"""What stands in place of some values; of others a number."""


def template(node: ast.expr) -> str | None:
    """A text of the code, with something in place of its values."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                SAMPLES.get(ast.unparse(part.value), "7")
                if isinstance(part, ast.FormattedValue)
                else str(template(part))
                for part in parts
            )
    return None


def told(module: ModuleType, telling: dict[str, int | None]) -> Iterator[str]:
    """Every text by which a module tells why."""
    for node in ast.walk(ast.parse(getsource(module))):
        match node:
            case ast.Call(func=ast.Name(id=name), args=args) if telling.get(name) is not None:
                place = telling[name]
                assert place is not None
                yield from filter(None, [template(args[place])] if len(args) > place else [])
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if name in telling:
                inside = [
                    each for each in ast.walk(node) if isinstance(each, ast.Return | ast.Call)
                ]
                texts = [each.value for each in inside if isinstance(each, ast.Return)]
                texts += [a for c in inside if isinstance(c, ast.Call) for a in c.args]
                if telling[name] is None:
                    yield from filter(None, (template(each) for each in texts if each))


@pytest.mark.parametrize("module", TELLING, ids=lambda each: each.__name__)
def test_whatever_tells_of_a_wrong_file_has_its_chinese_sentence(module: ModuleType) -> None:
    texts = {each for each in told(module, TELLING[module]) if " " in each.strip()}
    texts = {each + " in its header" if module is making else each for each in texts}
    assert texts
    for text in texts:
        said = words.explained("zh", text)
        assert said != text, text
        assert not RUN.search(said), said
    assert "程序缺陷" in words.explained("zh", "A defect: KeyError at jobs/work.py:3")
    assert "A defect: " in getsource(doing)


def test_the_alarm_rings() -> None:
    (raised,) = ast.parse('Unreadable(file, f"it has seven umbrellas of {n}", 3)').body
    assert isinstance(raised, ast.Expr)
    assert isinstance(raised.value, ast.Call)
    text = template(raised.value.args[1])
    assert text == "it has seven umbrellas of 7"
    assert words.explained("zh", text) == text
    assert RUN.search(text)


def read(answer: httpx.Response) -> str:
    """What a reader reads of a page, without what was sent and what is called by its id."""
    bare = re.sub(r"<(script|style|textarea|code|pre)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", bare)))


@pytest.fixture
def pages(house: House) -> Iterator[httpx.Client]:
    headers = {**FROM_A_PAGE, "accept-language": "zh-CN"}
    with Patient(base_url=house.address, timeout=PATIENCE_S, headers=headers) as client:
        yield client


REPORT = """
[report]
id = "odd"
title = "x"
source = "x"
dated_on = "2031-02-31"
first = 2030-01-01
umbrella = 3

[[claim]]
id = "c1"
formula = "1 +"

[[target]]
id = "t1"
level = "highest"
"""


@pytest.mark.parametrize("content", [REPORT, "[report", "[umbrella]\na = 1", "[report]\nid = 1"])
def test_a_wrong_file_of_a_report_is_told_in_chinese(pages: httpx.Client, content: str) -> None:
    asked = {"content": content, "key": "enter-odd"}
    answer = pages.post("/figures/enter/try", data=asked)
    assert "<tr>" in answer.text
    assert not RUN.search(read(answer)), read(answer)
    english = pages.post("/figures/enter/try", data=asked, headers={"accept-language": "en"})
    assert RUN.search(read(english))


FILES = {
    "odd.csv": (b"a,b\n1,2\n", "[[table]]\nfiles = '*'\n[[table.fact]]\nkind = 'points.credit'\n"
                "fields = {member_id = 'zzz'}"),
    "bytes.csv": (b"a,b\n\xff\xfe\xfa,\x80\n", None),
    "empty.csv": (b"\n", "table = []"),
    "facts.jsonl": (b'{"command": "points.debit", "member_id": "nobody", "points": 3,'
                    b' "reason": "x", "at": "2031-01-01T00:00:00Z", "actor": "a:b"}\n'
                    b'{"command": "umbrella.lend"}\n{"command"\n', None),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_with_files_is_told_in_chinese(pages: httpx.Client, name: str) -> None:
    content, mapping_ = FILES[name]
    file_id = pages.post("/files/parts", content=content).text
    asked = {"step": "check", "file": f"{file_id} {name}", "mapping": mapping_ or ""}
    begun = pages.post("/files/jobs", data=asked)
    (job_id,) = re.findall(r'data-job="([0-9a-f]{16})"', begun.text)
    place = f"/files/jobs/{job_id}"
    assert eventually(lambda: 'hx-trigger="load' not in pages.get(place).text)
    said = read(pages.get(place))
    assert not RUN.search(said), said


def test_a_bad_mapping_is_told_in_chinese_at_once(pages: httpx.Client) -> None:
    file_id = pages.post("/files/parts", content=b"a\n1\n").text
    for text in ("[table", "umbrella = 1", '[[table]]\nfiles = "*"\nfact = []'):
        asked = {"step": "check", "file": f"{file_id} a.csv", "mapping": text}
        said = read(pages.post("/files/jobs", data=asked))
        assert not RUN.search(said), said


def test_no_template_says_what_is_told_in_english_alone() -> None:
    for name, text in templates().items():
        assert ".detail" not in text or "health" in name, name


def test_what_a_proposed_mapping_says_of_columns_has_its_chinese_sentence() -> None:
    tree = ast.parse(getsource(guessing))
    whole = [each for each in ast.walk(tree) if isinstance(each, ast.JoinedStr)]
    inside = {id(part) for each in whole for part in ast.walk(each) if part is not each}
    inside |= {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    texts = {
        text.removeprefix("# ").removeprefix("? ")
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant | ast.JoinedStr) and id(each) not in inside
        if (text := template(each)) and RUN.search(text)
    }
    assert len(texts) > 20
    for text in texts:
        said = words.commented("zh", f"# {text}")
        assert not RUN.search(said), said
    note = "# 等级: 12 filled; read by its words as gold; by titles;\n# ? rows 3, 4 hold no money."
    known = "# 等级：12 格有内容；按字面读作 gold；按名称对应；\n# ? 第 3, 4 行不是金额。"
    assert words.commented("zh", note) == known
    doubt = "# ? a is left out until it is said: no column says b, no column says c."
    known = "# ? 先不导入 a，待补充：没有哪一列写明 b，没有哪一列写明 c。\nc = 1  # 没有哪一列写明"
    assert words.commented("zh", f"{doubt}\nc = 1  # no column says it") == known
    mapping = '[[table]]\nfiles = "a # b"\n# url = { value = "x" }\n'
    assert words.commented("zh", mapping) == mapping
    assert words.commented("en", note) == note
