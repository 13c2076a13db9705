"""Credentials of platforms from the settings, files and variables; a connector gets its own and no others."""

from pathlib import Path

import pytest

from connectors.engine.connector import DeclarativeConnector
from connectors.signing import SCHEMES
from gateway.credentials import resolve
from schemas.errors import ConfigurationError
from tests.engine_world import SECRETS, Scripted, bureau


def kept(at: Path, content: bytes, mode: int = 0o600) -> str:
    file = at / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    return str(file)


def test_each_way_gives_the_value_under_the_manifests_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "from the environment")
    given = {"app_id": "plain", "private_key_file": kept(tmp_path, b"from a file\n"), "token_env": "A_TOKEN"}
    assert resolve("xx", given) == {
        "app_id": "plain",
        "private_key": "from a file",
        "token": "from the environment",
    }


@pytest.mark.parametrize(
    ("content", "mode", "mend"),
    [
        (b"s3cret-value", 0o640, "chmod 600"),
        (b"s3cret-value", 0o604, "chmod 600"),
        (b"s3cret-value\xff", 0o600, "UTF-8"),
        (b"s3cret-value" * 6000, 0o600, "64 KiB"),
    ],
)
def test_a_file_that_others_may_read_or_that_is_no_text_is_refused(
    tmp_path: Path, content: bytes, mode: int, mend: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve("xx", {"token_file": kept(tmp_path, content, mode)})
    assert caught.value.details["at"] == "platforms.xx.credentials.token_file"
    assert mend in str(caught.value.details["mend"])
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("given", [{"token_file": "/nowhere/secret"}, {"token_env": "XX_NOT_SET_ANYWHERE"}])
def test_what_is_not_there_is_named(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        resolve("xx", given)


def test_a_credential_in_two_ways_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve("xx", {"token": "a", "token_env": "PATH"})
    assert "one way" in str(caught.value.details["mend"])


async def test_a_connector_sees_only_the_secrets_that_its_manifest_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    scheme, build = SCHEMES["tif"], type(SCHEMES["tif"]).build

    def watched(self: object, options: object, secrets: dict[str, str]) -> object:
        seen.append(set(secrets))
        return build(scheme, options, secrets)  # type: ignore[arg-type]

    monkeypatch.setattr(type(scheme), "build", watched)
    DeclarativeConnector(bureau(tmp_path), Scripted(), {**SECRETS, "of_another_platform": "x"})
    assert seen == [{"paasid", "token"}]
