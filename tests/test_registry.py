"""connectors.registry: the catalogue and outside folders through one door."""

from pathlib import Path

import pytest

from connectors.registry import BUILT_IN, find, load_connectors
from schemas.errors import ConfigurationError, ManifestError, UpstreamStatus
from tests.engine_world import BASE, FUND, NONE, SECRETS, Scripted, fetch, folder


def outside(at: Path, name: str = "xx-bureau") -> Path:
    return folder(at / name, BASE.replace("xx-bureau", name) + FUND)


def refused(**more: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        find(**more)  # type: ignore[arg-type]
    return str(caught.value.details.get("connector", caught.value.details.get("at")))


def test_every_folder_of_the_catalogue_is_found_under_its_own_name() -> None:
    assert set(find([])) == {child.name for child in BUILT_IN.iterdir() if (child / "manifest.toml").is_file()}


def test_an_outside_folder_may_be_a_connector_or_hold_several(tmp_path: Path) -> None:
    own = outside(tmp_path)
    outside(tmp_path, "yy-bureau")
    assert {"xx-bureau"} == set(find([own])) - set(find([]))
    assert {"xx-bureau", "yy-bureau"} == set(find([tmp_path])) - set(find([]))


def test_the_allow_list_names_all_there_is(tmp_path: Path) -> None:
    outside(tmp_path)
    folder(tmp_path / "zz-broken", "x = 1")
    assert set(find([tmp_path], ["xx-bureau"])) == {"xx-bureau"}
    assert find([tmp_path], []) == {}
    assert refused(folders=[tmp_path], allow=["nobody"]) == "nobody"
    with pytest.raises(ManifestError):
        find([tmp_path])


def test_two_connectors_of_one_id_another_name_or_no_manifest_are_refused(tmp_path: Path) -> None:
    own = outside(tmp_path / "a")
    assert refused(folders=[own, outside(tmp_path / "b")]) == "xx-bureau"
    assert refused(folders=[folder(tmp_path / "other", BASE + FUND)]) == "xx-bureau"
    (tmp_path / "empty").mkdir()
    assert refused(folders=[tmp_path / "empty"]) == "connectors"
    assert refused(folders=[tmp_path / "nowhere"]) == "connectors"


async def test_a_connector_gets_its_own_secrets_and_base_url(tmp_path: Path) -> None:
    script = Scripted([NONE])
    reach = {"xx-bureau": (True, "http://127.0.0.1:9", {**SECRETS, "of_another": "x"})}
    made = load_connectors(transport=script, platforms=reach, folders=[outside(tmp_path)], allow=["xx-bureau"])
    await fetch(made["xx-bureau"])  # type: ignore[arg-type]
    assert script.requests[0].url == "http://127.0.0.1:9/fund"


async def test_a_local_address_is_read_here_and_never_sent(tmp_path: Path) -> None:
    own = folder(tmp_path / "xx-bureau", BASE.replace("https://bureau.invalid", "local://bank") + FUND)
    script = Scripted([NONE])
    reach = {"xx-bureau": (True, None, {**SECRETS, "folder": str(tmp_path)})}
    made = load_connectors(transport=script, platforms=reach, folders=[own], allow=["xx-bureau"])
    with pytest.raises(UpstreamStatus):
        await fetch(made["xx-bureau"])  # type: ignore[arg-type]
    assert script.requests == []


async def test_a_platform_without_an_account_or_switched_off_is_left_out(tmp_path: Path) -> None:
    folders = [outside(tmp_path)]
    assert load_connectors(transport=Scripted(), platforms={}, folders=folders, allow=["xx-bureau"]) == {}
    off = {"xx-bureau": (False, None, SECRETS)}
    assert load_connectors(transport=Scripted(), platforms=off, folders=folders, allow=["xx-bureau"]) == {}


async def test_a_missing_secret_or_an_entry_of_no_connector_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    folders = [outside(tmp_path)]
    with pytest.raises(ConfigurationError, match=r"platforms\.xx-bureau\.credentials\.token"):
        load_connectors(transport=Scripted(), platforms={"xx-bureau": (True, None, {"paasid": "x"})}, folders=folders)
    with pytest.raises(ConfigurationError, match="nobody"):
        load_connectors(transport=Scripted(), platforms={"nobody": (True, None, {})})
    made = load_connectors(transport=Scripted(), platforms={"nobody": (True, None, {})}, allow=[])
    assert made == {}
