"""Settings: the environment wins over the file, a mistake is named by its key, and no secret is ever shown."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import Limits, Platform, Settings, load_settings
from schemas.errors import ConfigurationError

SECRET = "s3cr3t-CANARY"

TOML = f"""
port = 8401
origin = "example.invalid/log"
allow_private = ["127.0.0.1:8500"]

[limits]
deadline_seconds = 5.5
token_seconds = 120

[lenders.bank-a]
name = "示例银行 (invented)"
jwks = {{ keys = [] }}

[platforms.sh-tax]
base_url = "http://127.0.0.1:8500/sh-tax"
credentials = {{ app_id = "{SECRET}" }}
"""


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XINQIAO_CONFIG", "XINQIAO_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "xinqiao.toml"
    path.write_text(TOML, "utf-8")
    return path


def mistake(config: Path | None = None, **overrides: object) -> dict[str, str | int]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, **overrides)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.details


def test_without_file_or_environment_everything_has_its_default() -> None:
    settings = load_settings()
    assert settings.model_dump() == Settings.model_construct().model_dump()
    assert (settings.production, settings.host, settings.data, settings.lenders) == (
        False,
        "127.0.0.1",
        Path(".xinqiao"),
        {},
    )


def test_a_file_is_read_and_what_it_does_not_say_keeps_its_default(file: Path) -> None:
    settings = load_settings(file)
    assert (settings.port, settings.origin) == (8401, "example.invalid/log")
    assert (settings.limits.deadline_seconds, settings.limits.body_bytes) == (5.5, Limits().body_bytes)
    assert settings.platforms["sh-tax"].credentials["app_id"].get_secret_value() == SECRET


def test_the_environment_wins_over_the_file_and_what_is_given_in_code_over_both(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XINQIAO_PORT", "8402")
    monkeypatch.setenv("XINQIAO_LIMITS__TOKEN_SECONDS", "60")
    monkeypatch.setenv("XINQIAO_DATA", str(tmp_path / "from-environment"))
    settings = load_settings(file)
    assert (settings.port, settings.limits.token_seconds, settings.limits.deadline_seconds) == (8402, 60, 5.5)
    assert settings.data == tmp_path / "from-environment"
    assert load_settings(file, data=tmp_path).data == tmp_path
    assert load_settings(file, data=None).data == tmp_path / "from-environment"


def test_the_file_may_be_named_by_the_environment_and_the_option_wins(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XINQIAO_CONFIG", str(file))
    assert load_settings().port == 8401
    other = tmp_path / "other.toml"
    other.write_text("port = 8403\n")
    assert load_settings(other).port == 8403
    # Settings made in code, as the demonstration makes them, read no file.
    assert Settings().port == 8400


def test_secrets_of_a_platform_in_the_environment_are_merged_into_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINQIAO_PLATFORMS", '{"sh-tax": {"credentials": {"app_key": "k"}}}')
    platform = load_settings(file).platforms["sh-tax"]
    assert platform.base_url == "http://127.0.0.1:8500/sh-tax"
    assert {k: v.get_secret_value() for k, v in platform.credentials.items()} == {"app_id": SECRET, "app_key": "k"}


def test_no_form_of_the_settings_shows_a_secret(file: Path) -> None:
    settings = load_settings(file)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert SECRET not in text
        assert "app_id" in text


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("colour = 1", "colour"),
        ("[limits]\ncolour = 1", "limits.colour"),
        ("[platforms.sh-tax]\ncolour = 1", "platforms.sh-tax.colour"),
        (f'[platforms.sh-tax]\ncredentials = "{SECRET}"', "platforms.sh-tax.credentials"),
        (f'[platforms.sh-tax.credentials]\napp_id = ["{SECRET}"]', "platforms.sh-tax.credentials.app_id"),
        (f'port = "{SECRET}"', "port"),
        ("port = 70000", "port"),
        ("[limits]\nbody_bytes = 1", "limits.body_bytes"),
        ("[limits]\ndeadline_seconds = nan", "limits.deadline_seconds"),
        ("[limits]\ndeadline_seconds = inf", "limits.deadline_seconds"),
        ("[lenders.Bank_A]\nname = 'x'\njwks = {}", "lenders.Bank_A.[key]"),
        ("[lenders.bank-a]\njwks = {}", "lenders.bank-a.name"),
        ("[lenders.enterprise]\nname = 'x'\njwks = {}", "lenders"),
        ("[lenders.operator]\nname = 'x'\njwks = {}", "lenders"),
        (f'"{SECRET} 张三" = 1', "?"),
        ("[platforms.sh-tax]\nweight = 0", "platforms.sh-tax.weight"),
        ('[platforms.sh-tax.limits]\nrate = "fast"', "platforms.sh-tax.limits.rate"),
        ("[platforms.sh-tax.limits]\ncolour = 1", "platforms.sh-tax.limits.colour"),
        ('[platforms.sh-tax.limits]\nmaintenance = ["daily 01:00-02:00 Asia/Nowhere"]', "platforms.sh-tax.limits"),
        ('[platforms.sh-tax.freshness]\ntax_returns = "soon"', "platforms.sh-tax.freshness.tax_returns"),
    ],
)
def test_a_mistake_is_named_by_its_key_and_never_by_its_value(tmp_path: Path, text: str, at: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, "utf-8")
    said = mistake(path)
    assert (said["at"], said["file"]) == (at.replace("[key]", "?"), str(path))


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port 8400"])
def test_a_file_that_is_no_toml_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(content)
    assert mistake(path)["at"] == "config"


def test_a_file_that_is_not_there_is_an_error_however_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mistake(tmp_path / "nothing.toml")["at"] == "config"
    assert mistake(tmp_path)["at"] == "config"
    monkeypatch.setenv("XINQIAO_CONFIG", str(tmp_path / "nothing.toml"))
    assert mistake()["at"] == "config"


def test_a_mistake_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINQIAO_PLATFORMS", "{" + SECRET)
    assert mistake()["at"] == "environment XINQIAO_PLATFORMS"
    monkeypatch.setenv("XINQIAO_PLATFORMS", "")
    assert mistake()["at"] == "environment XINQIAO_PLATFORMS"
    monkeypatch.setenv("XINQIAO_PLATFORMS", '{"sh-tax": {"colour": 1}}')
    assert mistake()["at"] == "platforms.sh-tax.colour"


def test_production_refuses_keys_inside_the_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    for keys in (None, data, data / "keys", data / "a" / ".." / "keys", tmp_path / "link" / "keys"):
        assert mistake(production=True, data=data, keys=keys)["at"] == "keys"
        assert load_settings(data=data, keys=keys).key_folder == (keys or data / "keys")
    outside = load_settings(production=True, data=data, keys=tmp_path / "keys")
    assert outside.key_folder == tmp_path / "keys"


def test_settings_do_not_change_once_they_are_made() -> None:
    for frozen, field in ((Settings(), "port"), (Limits(), "body_bytes"), (Platform(), "enabled")):
        with pytest.raises(ValidationError):
            setattr(frozen, field, 1)


def test_a_misspelt_variable_is_an_error_and_not_silently_development_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINQIAO_PRODUCTON", SECRET)
    assert mistake()["at"] == "environment XINQIAO_PRODUCTON"
    monkeypatch.delenv("XINQIAO_PRODUCTON")
    monkeypatch.setenv("XINQIAO_SAMPLES", "somewhere")
    monkeypatch.setenv("XINQIAO_LIMITS__DEADLINE_SECONDS", "3")
    assert load_settings().limits.deadline_seconds == 3


@pytest.mark.parametrize("table", ["operators", "auditors"])
def test_no_two_clients_share_a_name_whatever_their_roles(table: str) -> None:
    client = {"name": "x", "jwks": {}}
    with pytest.raises(ValidationError, match="names of their own"):
        Settings.model_validate({"lenders": {"bank-a": client}, table: {"bank-a": client}})
    held = Settings.model_validate({"lenders": {"bank-a": client}, table: {"other": client}})
    assert {name: one.role for name, one in held.clients.items()} == {"bank-a": "lender", "other": table[:-1]}


def test_the_database_is_postgresql_and_its_password_is_never_shown(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINQIAO_DATABASE", f"postgresql://user:{SECRET}@db.invalid/xinqiao")
    settings = load_settings(file)
    assert settings.database is not None
    assert SECRET not in f"{settings!r}{settings.model_dump_json()}"
    monkeypatch.setenv("XINQIAO_DATABASE", f"mysql://user:{SECRET}@db.invalid/xinqiao")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    assert caught.value.details["at"] == "database"
    assert SECRET not in str(caught.value)


def test_of_a_platforms_limits_only_what_was_given_is_kept_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINQIAO_PLATFORMS", '{"sh-tax": {"limits": {"rate": "20/s", "daily": 9}}}')
    settings = load_settings()
    assert settings.model_dump()["platforms"]["sh-tax"]["limits"] == {"rate": "20/s", "daily": 9}
    assert settings.platforms["sh-tax"].tuning().limits.model_fields_set == {"rate", "daily"}
