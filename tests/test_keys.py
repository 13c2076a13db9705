"""The gateway's own keys: made once with mode 0600, never overwritten, refused where they are not what they must be."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from consent.safe import Safe
from gateway.keys import (
    Replaced,
    SigningFile,
    create_keys,
    load_keys,
    new_signing_key_pem,
    read_signing,
    replace_signing,
    signing_key,
    write_private,
)
from schemas.errors import ConfigurationError

FILES = ["kek.1", "pseudonym", "log.pem", "profile.pem", "token.pem"]


def mistake(folder: Path) -> dict[str, str | int]:
    with pytest.raises(ConfigurationError) as caught:
        load_keys(folder, create=False)
    assert caught.value.__cause__ is None
    return caught.value.details


def test_missing_keys_are_made_readable_by_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "keys"
    assert create_keys(folder) == FILES
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {f.name: f.stat().st_mode & 0o777 for f in folder.iterdir()} == dict.fromkeys(FILES, 0o600)


def test_keys_that_are_there_are_never_touched(tmp_path: Path) -> None:
    create_keys(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    assert len(set(before.values())) == len(FILES)
    assert create_keys(tmp_path) == []
    (tmp_path / "token.pem").unlink()
    assert create_keys(tmp_path) == ["token.pem"]
    assert {n: (tmp_path / n).read_bytes() for n in FILES[:-1]} == {n: before[n] for n in FILES[:-1]}
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "kek.1", b"another")


def test_what_was_made_is_what_is_read(tmp_path: Path) -> None:
    made = load_keys(tmp_path, create=True)
    read = load_keys(tmp_path, create=False)
    assert made.pseudonym == read.pseudonym
    kek = Safe(tmp_path).kek(1)
    assert len(kek) == len(made.pseudonym) == 32
    assert kek != made.pseudonym
    for one, same in (
        (made.log, read.log),
        (made.profile().key, read.profile().key),
        (made.token().key, read.token().key),
    ):
        assert one.public_key() == same.public_key()
    assert made.pseudonym.hex() not in repr(made)


@pytest.mark.parametrize("name", FILES)
def test_in_production_a_missing_key_is_named_and_not_made(tmp_path: Path, name: str) -> None:
    create_keys(tmp_path)
    (tmp_path / name).unlink()
    assert mistake(tmp_path)["at"] == f"keys/{name}"
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("content", [b"", b"00", b"0" * 63, b"0" * 66, b"x" * 64, b"\xff" * 32, b"0x" + b"0" * 62])
def test_a_symmetric_key_is_thirty_two_bytes_as_hex(tmp_path: Path, content: bytes) -> None:
    create_keys(tmp_path)
    (tmp_path / "kek.1").write_bytes(content)
    assert mistake(tmp_path) == {"at": "keys/kek.1", "mend": "must be 32 bytes as hex"}


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(Ed25519PrivateKey.generate(), b"password"),
        Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "nonsense", "another curve", "under a password", "a public key"],
)
def test_a_signing_key_is_an_ed25519_private_key(tmp_path: Path, content: bytes) -> None:
    create_keys(tmp_path)
    (tmp_path / "log.pem").write_bytes(content)
    assert mistake(tmp_path) == {"at": "keys/log.pem", "mend": "must be an Ed25519 private key in PEM"}


def test_a_new_signing_key_is_one(tmp_path: Path) -> None:
    write_private(tmp_path / "a.pem", new_signing_key_pem())
    write_private(tmp_path / "b.pem", new_signing_key_pem())
    assert signing_key(tmp_path / "a.pem").public_key() != signing_key(tmp_path / "b.pem").public_key()


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@pytest.mark.parametrize("name", ["profile", "token"])
def test_a_signing_key_is_replaced_and_whoever_holds_the_old_one_finds_the_new(
    tmp_path: Path, name: Literal["profile", "token"]
) -> None:
    keys = load_keys(tmp_path, create=True)
    held: SigningFile = getattr(keys, name)
    first = held()
    assert held() is first
    second = replace_signing(tmp_path, name, 100)
    third = replace_signing(tmp_path, name, 200)
    assert public(held().key) == public(third.key)
    assert held().replaced == (Replaced(public(first.key), 100), Replaced(public(second.key), 200))
    assert (tmp_path / f"{name}.pem").stat().st_mode & 0o777 == 0o600
    other: SigningFile = getattr(keys, {"profile": "token", "token": "profile"}[name])
    assert other().replaced == ()
    # Interrupted before the new key was there: the old one is not taken for replaced.
    (tmp_path / f"{name}.old").write_text(f"{public(third.key).hex()} 300\n")
    assert read_signing(tmp_path / f"{name}.pem").replaced == ()
    (tmp_path / f"{name}.old").write_text("nonsense\n")
    with pytest.raises(ConfigurationError) as caught:
        read_signing(tmp_path / f"{name}.pem")
    assert caught.value.details["at"] == f"keys/{name}.old"
    # A file that cannot be read just now leaves the key that is held.
    (tmp_path / f"{name}.pem").unlink()
    assert public(held().key) == public(third.key)
    with pytest.raises(ConfigurationError):
        replace_signing(tmp_path / "none", name, 1)


def test_processes_that_start_at_once_on_an_empty_folder_make_one_set_of_keys(tmp_path: Path) -> None:
    start = Barrier(8)

    def made() -> tuple[list[str], bytes]:
        start.wait()
        return create_keys(tmp_path / "keys"), (tmp_path / "keys" / "log.pem").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        found = [future.result() for future in [pool.submit(made) for _ in range(8)]]
    assert sorted(len(names) for names, _ in found) == [0] * 7 + [len(FILES)]
    assert len({key for _, key in found}) == 1


def test_a_folder_that_cannot_be_made_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError) as caught:
        create_keys(tmp_path / "file" / "keys")
    assert caught.value.details["at"] == "keys"


def test_the_one_key_of_a_folder_from_before_there_were_epochs_becomes_that_of_the_first(tmp_path: Path) -> None:
    create_keys(tmp_path)
    (tmp_path / "kek.1").rename(tmp_path / "kek")
    before = (tmp_path / "kek").read_bytes()
    load_keys(tmp_path, create=False)
    assert (tmp_path / "kek.1").read_bytes() == before
    assert not (tmp_path / "kek").exists()
    assert create_keys(tmp_path) == []
