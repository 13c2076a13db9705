"""Our decoder against a copy of JSONTestSuite: ``python -m tests.json_suite FOLDER``.

FOLDER holds its files (https://github.com/nst/JSONTestSuite, ``test_parsing``): ``y_*`` are JSON, ``n_*`` are not, and
of ``i_*`` RFC 8259 leaves it to the parser.
"""

import sys
from collections import defaultdict
from pathlib import Path

from connectors.decoding import compile_decoder
from schemas.errors import UpstreamError

DUPLICATES = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
"""Names twice in one object are JSON by RFC 8259, and refused here by RFC 7493."""


def judged(folder: Path) -> dict[tuple[str, bool], list[str]]:
    """Names of files by their first letter and whether they are read. Raises what is no typed error."""
    decode = compile_decoder(["utf-8"], ["json"])
    found: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for file in sorted(folder.glob("[yni]_*.json")):
        try:
            decode(file.read_bytes(), None)
            read = True
        except UpstreamError:
            read = False
        found[file.name[0], read].append(file.name)
    return found


def main(folder: Path) -> int:
    found = judged(folder)
    for kind, means in (("y", "must be read"), ("n", "must be refused"), ("i", "are the parser's choice")):
        read, refused = (found.get((kind, which), []) for which in (True, False))
        print(f"{kind}: {len(read) + len(refused)} that {means}: {len(read)} read, {len(refused)} refused")
    print("i, read:", ", ".join(found.get(("i", True), [])))
    wrong = found.get(("n", True), []) + sorted({*found.get(("y", False), [])} - DUPLICATES)
    print(f"{len(wrong)} wrong {wrong}")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
