"""``xinqiao keys``: the next key of the log is made and shown first, then takes over, also after a kill in between."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.note import Checkpoint, Note, Vkey, sign_checkpoint
from consent.logkeys import RotateLogKey
from consent.profiles import RecordEvent
from gateway.cli.main import main
from gateway.cli.shared import State
from gateway.keys import NEXT_LOG_KEY, finish_rotation, log_keys, read_signing, signing_key
from gateway.profile.sign import ProfileSigner
from gateway.services import open_services
from gateway.settings import Settings
from schemas.errors import ConfigurationError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def xinqiao(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    config = tmp_path / "xinqiao.toml"
    config.write_text("allow_connectors = []\n")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinqiao", *map(str, arguments), "--config", str(config)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return end.value.code if isinstance(end.value.code, int) else 0, told.out, told.err

    yield run
    State.config = State.data = None


@pytest.fixture
def keys(tmp_path: Path, xinqiao: Run) -> Path:
    """The key folder of a log with one entry."""
    asyncio.run(appended())
    return tmp_path / ".xinqiao" / "keys"


async def appended(rotate_to: Ed25519PrivateKey | None = None) -> Vkey:
    async with open_services(Settings(allow_connectors=[])) as services:
        await services.evidence.submit(RecordEvent("log.read", "operator", None, None, {"first": 0, "last": 0}))
        if rotate_to:
            await services.evidence.submit(RotateLogKey("operator", rotate_to))
        return Vkey.parse(services.evidence.vkey)


def test_the_next_key_is_shown_then_signs_and_the_log_is_verified_with_either(
    xinqiao: Run, keys: Path, tmp_path: Path
) -> None:
    old = asyncio.run(appended())
    older = tmp_path / "older"
    older.write_text(xinqiao("log", "checkpoint")[1])
    status, shown, _ = xinqiao("keys", "next")
    assert status == 0
    assert xinqiao("keys", "next")[1] == shown, "made once"
    assert (keys / NEXT_LOG_KEY).stat().st_mode & 0o777 == 0o600
    new = Vkey.parse(shown.strip())
    status, _, said = xinqiao("keys", "rotate")
    assert status == 0
    assert f"from entry 2 on: {new.label()}" in said
    assert not (keys / NEXT_LOG_KEY).exists()
    assert Vkey.of(old.name, signing_key(keys / "log.pem")) == new
    assert asyncio.run(appended()) == new
    assert xinqiao("log", "export", "out")[0] == 0
    for vkey in (old, new):
        (tmp_path / "vkey").write_text(vkey.text() + "\n")
        status, told, _ = xinqiao("log", "verify", "out", "--vkey", "vkey", "--checkpoint", older)
        assert status == 0
        assert f"signed by {new.label()}\nkey changed at entry 2: {old.label()} to {new.label()}\n" in told
    assert xinqiao("log", "consistency", "--from", older)[0] == 0
    assert xinqiao("keys", "rotate")[0] == 2, "there is no next key"


def test_a_head_that_a_replaced_key_signed_afterwards_is_told(xinqiao: Run, keys: Path, tmp_path: Path) -> None:
    xinqiao("keys", "next")
    before = signing_key(keys / "log.pem")
    xinqiao("keys", "rotate")
    head = Checkpoint.parse(Note.parse(xinqiao("log", "checkpoint")[1]).text)
    late = tmp_path / "late"
    late.write_text(sign_checkpoint(head, head.origin, before))
    status, _, said = xinqiao("log", "consistency", "--from", late)
    assert status == 2
    assert "log_broken: at=key" in said


def test_a_rotation_that_was_killed_between_commit_and_file_is_finished_by_the_next(xinqiao: Run, keys: Path) -> None:
    new = Vkey.parse(xinqiao("keys", "next")[1].strip())
    key = signing_key(keys / NEXT_LOG_KEY)
    asyncio.run(appended(rotate_to=key))
    assert (keys / NEXT_LOG_KEY).exists()
    assert asyncio.run(appended()) == new, "the gateway goes on with the key that the log has"
    assert xinqiao("keys", "rotate")[0] == 0
    assert log_keys(keys)[0].public_key() == key.public_key()
    assert asyncio.run(appended()) == new


@pytest.mark.parametrize("name", ["profile", "token"])
def test_the_key_of_profiles_and_that_of_tokens_are_changed_without_the_log(
    xinqiao: Run, keys: Path, name: str
) -> None:
    before = signing_key(keys / f"{name}.pem").public_key().public_bytes_raw()
    status, _, said = xinqiao("keys", "rotate", f"--{name}")
    assert status == 0
    held = read_signing(keys / f"{name}.pem")
    assert [one.key for one in held.replaced] == [before]
    assert ProfileSigner(held.key).kid in said
    assert xinqiao("keys", "rotate", "--profile", "--token")[0] == 2


def test_a_new_epoch_of_the_key_encryption_key_ends_the_old_one(xinqiao: Run, keys: Path) -> None:
    status, _, said = xinqiao("keys", "rotate", "--kek")
    assert (status, "epoch 2" in said) == (0, True)
    assert sorted(file.name for file in keys.glob("kek.*")) == ["kek.2"]
    assert xinqiao("log", "verify")[0] == 0


def test_a_folder_that_cannot_be_written_is_named(xinqiao: Run, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr("gateway.cli.keys.write_private", fails)
        status, _, said = xinqiao("keys", "next")
    assert status == 2
    assert "at=keys" in said
    with pytest.raises(ConfigurationError) as error:
        finish_rotation(keys / "none")
    assert "log.next.pem" in str(error.value.details)
    assert log_keys(keys / "none") == []
