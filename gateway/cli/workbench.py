"""``xinqiao connectors new``: a connector's folder to begin with."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from connectors.kit.scaffold import Wanted, is_id, is_plain, scaffold
from gateway.cli.shared import AsJson, print_json, say
from schemas.errors import InvalidRequest
from schemas.records import CATALOGUE


class Form(StrEnum):
    JSON = "json"
    XML = "xml"


class Charset(StrEnum):
    UTF_8 = "utf-8"
    GB18030 = "gb18030"


def new(
    connector: Annotated[str, typer.Argument(metavar="ID", help="Lower-case words with hyphens: the folder's name.")],
    zh: Annotated[str, typer.Option(prompt="平台中文名 Name in Chinese", help="平台中文名")],
    en: Annotated[str, typer.Option(prompt="平台英文名 Name in English", help="Name in English.")],
    owner: Annotated[str, typer.Option(prompt="数据提供方 Who owns the platform", help="数据提供方")],
    dataset: Annotated[
        str, typer.Option(prompt="数据集 Data sets, a comma between two", help="Data sets, a comma between two.")
    ],
    form: Annotated[Form, typer.Option(help="What requests and replies are made of.")] = Form.JSON,
    charset: Annotated[Charset, typer.Option(help="gb18030 for GBK and GB2312 too.")] = Charset.UTF_8,
    into: Annotated[Path, typer.Option(help="Where the folder is made.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """新建 A connector that passes `connectors test` at once, to be made the real one; asks what is not given."""
    wanted = Wanted(
        id=connector,
        zh=zh,
        en=en,
        owner=owner,
        datasets=tuple(name.strip() for name in dataset.split(",")),
        form="json" if form is Form.JSON else "xml",
        charset="utf-8" if charset is Charset.UTF_8 else "gb18030",
    )
    _check(wanted)
    folder = into / connector
    if folder.exists():
        raise InvalidRequest(at="connector", mend="there is such a folder: name another, or remove it")
    files = scaffold(wanted)
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    if as_json:
        print_json({"folder": str(folder), "files": sorted(files)})
        return
    say(f"{folder}: {len(files)} 个文件 files. 下一步 next:")
    say(f"  1. {folder}/manifest.toml: 改写每个 TODO replace every TODO (docs/manifest.md, docs/signing.md)")
    say(f"  2. {folder}/fixtures: 换成平台的应答 put the platform's replies in (docs/add-a-connector.md)")
    say(f"  3. xinqiao connectors test {folder}")
    say(
        "编辑器 editors: the first line of manifest.toml (`#:schema`) lets taplo and Even Better TOML complete its keys"
    )


def _check(wanted: Wanted) -> None:
    if not is_id(wanted.id):
        raise InvalidRequest(at="connector", mend="lower-case letters and digits, a hyphen between two words")
    for at, text in (("zh", wanted.zh), ("en", wanted.en), ("owner", wanted.owner)):
        if not is_plain(text):
            raise InvalidRequest(at=at, mend="1 to 200 characters, without quotation marks and backslashes")
    if len(set(wanted.datasets)) < len(wanted.datasets) or set(wanted.datasets) - CATALOGUE.keys():
        raise InvalidRequest(at="dataset", mend="each once, of " + ", ".join(CATALOGUE))
