"""The how-to of checking an export without us, run: its programs, its commands, what they print."""

import re
from pathlib import Path

from tests.api.running import REPOSITORY, SCALE
from tests.api.test_audit import examples, fits, run

PAGE = REPOSITORY / "docs" / "how-to" / "check-an-export.md"
PROGRAM = re.compile(r"^`(\w+\.py)`:\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_a_stranger_recomputes_a_figure_from_the_files_alone(
    demo_dir: Path, tmp_path: Path
) -> None:
    text = PAGE.read_text("utf-8")
    assert f"clubledger demo --scale {SCALE} --no-figures\n" in text
    programs = dict(PROGRAM.findall(text))
    assert [*programs] == ["by_rows.py", "by_events.py"]
    for name, source in programs.items():
        (tmp_path / name).write_text(source, "utf-8")
    wrong = []
    for step in examples(text):
        done = run(step.command, demo_dir, tmp_path)
        if done.returncode or not fits(step.shown, done.stdout.splitlines()):
            wrong.append(f"$ {step.command}\n{done.stdout}\n{done.stderr}")
    assert not wrong, "\n".join(wrong)
    rates = tmp_path / "rate.csv"
    rates.write_bytes(rates.read_bytes().replace(b",1,1,", b",0,1,", 1))  # one of those bound
    for command, said in (
        ("by_rows.py rate.csv", "NOT ("),
        ("by_events.py events.json rate.csv", "{'m"),
    ):
        assert said in run(f"python {command}", demo_dir, tmp_path).stdout, "the alarm rings"
