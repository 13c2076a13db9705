"""gateway.cli.demo: how the demonstration ends. What it shows when all is well is in tests/test_cli.py."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app


def test_a_demonstration_whose_log_does_not_verify_has_failed_whatever_it_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders: list[Path] = []

    async def run_demo(folder: Path, say: object, scenario: str) -> dict[str, Any]:
        folders.append(folder)
        return {"profile": {}, "log": {"verified": len(folders) > 1}}

    monkeypatch.setattr("gateway.cli.demo.run_demo", run_demo)
    assert [CliRunner().invoke(app, ["demo", "--json"]).exit_code for _ in range(2)] == [1, 0]
    assert not any(folder.exists() for folder in folders)
