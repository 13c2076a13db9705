"""Every error code has its text, its status and its place in the documentation."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from schemas import errors
from schemas.problems import PROBLEMS, problem

DOC = Path(__file__).parent.parent / "docs" / "errors.md"


def codes(base: type[errors.XinqiaoError] = errors.XinqiaoError) -> set[str]:
    own = {base.code} if "code" in vars(base) and base.__module__ == errors.__name__ else set()
    return own.union(*(codes(sub) for sub in base.__subclasses__()))


def test_every_code_of_the_error_tree_has_a_row_and_no_row_is_left_over() -> None:
    assert set(PROBLEMS) == codes()


def test_every_row_has_an_error_status_and_text_in_both_languages() -> None:
    for code, row in PROBLEMS.items():
        assert 400 <= HTTPStatus(row.status) < 600, code
        for english in (row.title, row.detail):
            assert english.strip() == english != "", code
            assert english.isascii(), code
        for chinese in (row.title_zh, row.detail_zh):
            assert re.search("[\u4e00-\u9fff]", chinese), code


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConsentMissing(), 404),
        (errors.ConsentRevoked(), 403),
        (errors.Unauthenticated(), 401),
        (errors.InvalidClient(), 401),
        (errors.IdempotencyMismatch(), 422),
        (errors.IdempotencyRunning(), 409),
        (errors.ConsentConflict(), 409),
        (errors.Shredded(), 410),
        (errors.PayloadTooLarge(), 413),
        (errors.StorageUnavailable(), 503),
        (errors.Overloaded(), 503),
        (errors.UpstreamConnect(), 502),
    ],
)
def test_statuses_are_those_of_the_interface(error: errors.XinqiaoError, status: int) -> None:
    assert problem(error)["status"] == status


def test_a_refused_consent_other_than_a_missing_one_is_forbidden() -> None:
    for cls in errors.CONSENT_ERRORS.values():
        expected = HTTPStatus.NOT_FOUND if cls is errors.ConsentMissing else HTTPStatus.FORBIDDEN
        assert problem(cls())["status"] == expected


def test_a_problem_has_the_members_of_rfc_9457_and_the_safe_details() -> None:
    error = errors.InvalidIdentifier(what="uscc", fault="check")
    assert problem(error) == {
        "type": "/docs/errors#invalid_identifier",
        "title": "An identifier is malformed or its check character fails",
        "status": 400,
        "detail": "Compare the number with the licence and send it again.",
        "code": "invalid_identifier",
        "title_zh": "证照号码格式或校验码有误",
        "detail_zh": "请与证照核对号码后重新提交。",
        "details": {"what": "uscc", "fault": "check"},
    }


def test_a_problem_does_not_share_its_details_with_the_error() -> None:
    error = errors.InvalidRequest(at="subject")
    assert problem(error)["details"] is not error.details


def table() -> str:
    """The table of docs/errors.md; ``python -m tests.test_schemas_problems`` writes it."""
    lines = ["| code | HTTP | what happened | what to do |", "|---|---|---|---|"]
    lines += [
        f'| <a id="{code}"></a>`{code}` | {row.status} '
        f"| {row.title}<br>{row.title_zh} | {row.detail}<br>{row.detail_zh} |"
        for code, row in PROBLEMS.items()
    ]
    return "\n".join(lines) + "\n"


def test_the_page_of_errors_holds_every_code() -> None:
    assert table() in DOC.read_text("utf-8"), "run python -m tests.test_schemas_problems"


if __name__ == "__main__":
    head, _, _ = DOC.read_text("utf-8").partition("| code |")
    DOC.write_text(head + table(), "utf-8")
