"""connectors.installed: a connector that came as a distribution, with real metadata and not a line of its code run."""

import sys
from pathlib import Path

import pytest

from connectors.installed import installed
from connectors.kit.scaffold import Wanted, scaffold
from connectors.registry import find
from schemas.errors import ConfigurationError

ID = "xx-bureau"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an installer leaves of a distribution with one entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))
    distribution(tmp_path, "invented_bureau")
    package = tmp_path / "invented_bureau"
    for path, content in scaffold(Wanted(ID, "虚构局", "Bureau (invented)", "虚构局", ("honours",))).items():
        file = package / ID / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    return tmp_path


def distribution(at: Path, value: str) -> None:
    info = at / "invented_bureau-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: invented-bureau\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[xinqiao.connectors]\n{ID} = {value}\n")


def test_an_installed_connector_that_is_named_is_found_and_not_imported(site: Path) -> None:
    folders = installed([ID])
    assert folders == [site / "invented_bureau" / ID]
    assert ID in find(folders, [ID])
    assert "invented_bureau" not in sys.modules


@pytest.mark.usefixtures("site")
def test_one_that_nobody_names_is_left_alone() -> None:
    assert installed(["sh-tax"]) == []


@pytest.mark.parametrize("value", ["no_such_package", "invented_bureau.inside", "invented_bureau:folder"])
def test_an_entry_point_that_leads_nowhere_is_a_mistake(site: Path, value: str) -> None:
    distribution(site, value)
    with pytest.raises(ConfigurationError) as caught:
        installed([ID])
    assert caught.value.details["connector"] == ID


def test_a_package_without_the_folder_is_a_mistake(site: Path) -> None:
    (site / "invented_bureau" / ID / "manifest.toml").unlink()
    with pytest.raises(ConfigurationError):
        installed([ID])
