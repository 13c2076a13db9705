"""docs/add-a-connector.md is a true story: its files and commands, run in order as they stand."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from connectors.manifest import load
from connectors.registry import BUILT_IN, find
from tests.test_cli import Run, xinqiao

__all__ = ["xinqiao"]

PAGE = (Path(__file__).parent.parent / "docs" / "add-a-connector.md").read_text("utf-8")
_STEP = re.compile(r"^`([\w./-]+)`[^\n]*:\n\n```\w+\n(.*?)^```|^ {4}([^ \n<][^\n]*)$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(xinqiao|rm|for|sed|mkdir|!) ")


def steps() -> Iterator[tuple[str, str]]:
    """(file, content) and ("", command), in the page's order."""
    for file, content, line in _STEP.findall(PAGE):
        if file:
            yield file, content
        elif _COMMAND.match(line):
            yield "", line.strip()


def test_the_page_is_run_as_it_stands(xinqiao: Run, tmp_path: Path) -> None:
    """The shell's commands in the shell, ours in this process: what starting it anew costs is paid once, elsewhere."""
    told: list[tuple[str, str]] = []
    for file, text in steps():
        if file:
            (tmp_path / file).write_text(text, "utf-8")
        elif "xinqiao " in text:
            refused, command = text.startswith("! "), shlex.split(text.removeprefix("! "))
            done = xinqiao(*command[1:])
            assert bool(done.status) is refused, f"{text}\n{done.out}\n{done.err}"
            told.append((text, done.out))
        else:
            subprocess.run(["sh", "-ec", text], cwd=tmp_path, check=True)
    tests = [out for text, out in told if text == "xinqiao connectors test xc-development"]
    assert len(tests) == 2
    assert all("fixtures/honours-found.json" in out and "failed" not in out for out in tests)
    (broken,) = (out for text, out in told if text.startswith("! "))
    assert re.search(r"line=4\d", re.sub(r"\s", "", broken))
    assert "'万元'" in broken
    shown = told[-1][1]
    assert {"policy_support", "honours"} <= set(re.findall(r"[a-z_]+", shown))
    assert list((tmp_path / "xc-development").rglob("*.py")) == []
    assert "无此企业".encode("gbk") in (tmp_path / "xc-development/fixtures/absent.xml").read_bytes()


def test_the_page_says_how_many_lines_it_was() -> None:
    said = dict(re.findall(r"^\| ([a-zA-Z ]+) \| (\d+) \|$", PAGE, re.MULTILINE))
    files = [(file, len(text.splitlines())) for file, text in steps() if file.startswith("xc-development/")]
    manifest = sum(lines for file, lines in files if file.endswith(".toml"))
    # The two that a command makes out of two others have their length.
    others = sum(lines * (1 + file.endswith(("-absent.json", "-failure.json"))) for file, lines in files) - manifest
    assert said == {"manifest": str(manifest), "cases and replies": str(others), "Python": "0"}


def test_one_more_district_is_one_file_of_at_most_fifteen_lines(tmp_path: Path) -> None:
    districts = sorted(child for child in BUILT_IN.glob("district-*") if (child / "manifest.toml").is_file())
    assert len(districts) >= 10
    for folder in districts:
        assert [child.name for child in folder.iterdir()] == ["manifest.toml"]
        assert len((folder / "manifest.toml").read_text("utf-8").splitlines()) <= 15
    one_more = tmp_path / "district-xuliu"
    one_more.mkdir()
    lines = [
        f"extends = {json.dumps(os.path.relpath(BUILT_IN / 'districts', one_more))}",
        'id = "district-xuliu"',
        'names = { zh = "虚柳区企业服务平台", en = "Xuliu district (invented)" }',
        'owner = "虚柳区"',
        'base_url = "https://district-xuliu.invalid"',
    ]
    (one_more / "manifest.toml").write_text("\n".join(lines), "utf-8")
    assert load(one_more).plans.keys() == load(districts[0]).plans.keys()
    assert "district-xuliu" in find([one_more])
