"""``xinqiao keys``: make the gateway's own keys, and change the key of the log."""

import time
from typing import Annotated

import typer

from consent.log.note import Vkey
from consent.logkeys import RotateLogKey
from gateway.cli.shared import AsJson, print_json, run, say, settings, write
from gateway.keys import (
    NEXT_LOG_KEY,
    create_keys,
    finish_rotation,
    new_signing_key_pem,
    replace_signing,
    signing_key,
    write_private,
)
from gateway.profile.sign import ProfileSigner
from gateway.services import Services
from schemas.errors import ConfigurationError, InvalidRequest

app = typer.Typer(help="密钥 The gateway's own keys.", no_args_is_help=True)


@app.command("new")
def new(as_json: AsJson = False) -> None:
    """生成 Make the keys that are missing; existing keys are never touched."""
    folder = settings().key_folder
    made = create_keys(folder)
    if as_json:
        print_json({"folder": str(folder), "made": made})
    else:
        say(f"{folder}: " + (", ".join(made) or "无缺失 nothing was missing"))


@app.command("next")
def next_() -> None:
    """下一把日志密钥 Make the key that the log will change to, where there is none, and print its verifier key."""
    held = settings()
    file = held.key_folder / NEXT_LOG_KEY
    try:
        if not file.exists():
            write_private(file, new_signing_key_pem())
    except OSError:
        raise ConfigurationError(at="keys", mend="the folder cannot be written") from None
    write(Vkey.of(held.origin, signing_key(file)).text())


@app.command("rotate")
def rotate(
    kek: Annotated[bool, typer.Option("--kek", help="The key-encryption key instead of the log's.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="The key that signs profiles.")] = False,
    token: Annotated[bool, typer.Option("--token", help="The key that signs access tokens.")] = False,
) -> None:
    """轮换密钥 The key of `keys next` signs the log from now on; the old one is refused and its file replaced. With
    --kek a new epoch begins, and the keys of earlier epochs are destroyed. With --profile or --token a new key signs
    these at once; what the old one signed still verifies."""
    if kek + profile + token > 1:
        raise InvalidRequest(at="rotate", mend="one kind of key at a time")
    if kek:
        epoch = run(lambda services: services.evidence.keeper.next_epoch())
        say(f"密钥期 epoch {epoch}")
        return
    if profile or token:
        signing = replace_signing(settings().key_folder, "profile" if profile else "token", int(time.time()))
        say(f"现用密钥 kid {ProfileSigner(signing.key).kid}")
        return
    folder = settings().key_folder
    key = signing_key(folder / NEXT_LOG_KEY)

    async def work(services: Services) -> None:
        evidence = services.evidence
        # A command that was killed after its commit has changed the key already.
        if Vkey.parse(evidence.vkey).key != key.public_key().public_bytes_raw():
            rotation = await evidence.submit(RotateLogKey("operator", key))
            say(f"自条目 {rotation.index} 起 from entry {rotation.index} on: {rotation.new.label()}")

    run(work)
    finish_rotation(folder)
