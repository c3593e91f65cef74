"""Reviews as the API server writes them, and answers as it reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meltemi.controller.webhook.review import MalformedReview, allowed, parse, refused
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

ROUTER = Ref("MetaRouter", "default", "orders")


def review(**changes: object) -> bytes:
    request: dict[str, object] = {"uid": "u-1", "operation": "CREATE", "object": {"kind": "x"}}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(body | changes).encode()


def response(answer: bytes) -> dict[str, Any]:
    body = json.loads(answer)
    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    found: dict[str, Any] = body["response"]
    return found


def problem(field: str = "spec.hosts", cause: str = "it is wrong") -> Problem:
    return Problem("MEL0102", ROUTER.at(field), cause, "correct it")


def test_a_request_is_read() -> None:
    request = parse(review())
    assert (request.uid, request.operation, request.written) == ("u-1", "CREATE", {"kind": "x"})
    assert request.stored is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        review(request=None),
        review(request={"uid": 1, "operation": "CREATE"}),
        review(request={"uid": "u", "operation": "DESTROY"}),
        review(request={"uid": "u", "operation": "CREATE", "object": "text"}),
    ],
)
def test_what_is_no_review_is_told_so(body: bytes) -> None:
    with pytest.raises(MalformedReview, match="no AdmissionReview"):
        parse(body)


def test_a_review_of_another_version_is_told_what_to_write() -> None:
    with pytest.raises(MalformedReview, match=r"v1beta1.*admissionReviewVersions"):
        parse(review(apiVersion="admission.k8s.io/v1beta1"))


def test_an_object_may_be_stored() -> None:
    assert response(allowed("u-1")) == {"uid": "u-1", "allowed": True}


def test_a_refusal_has_all_errors_with_code_field_cause_and_next_step() -> None:
    answer = response(refused("u-1", (problem(), problem("", "nothing is right"))))
    assert (answer["uid"], answer["allowed"]) == ("u-1", False)
    status = answer["status"]
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["message"] == (
        "2 errors: MEL0102 spec.hosts: it is wrong; correct it | "
        "MEL0102: nothing is right; correct it"
    )
    causes = [(each["field"], each["message"]) for each in status["details"]["causes"]]
    assert causes == [
        ("spec.hosts", "MEL0102: it is wrong; correct it"),
        ("metadata", "MEL0102: nothing is right; correct it"),
    ]
    assert (status["details"]["kind"], status["details"]["name"]) == ("MetaRouter", "orders")


def test_however_much_is_wrong_a_refusal_is_of_a_size_to_be_read() -> None:
    many = tuple(problem(f"spec.routes[{i}]", "x" * 5000) for i in range(1000))
    answer = refused("u-1", many)
    assert len(answer) < 128 * 1024
    status = response(answer)["status"]
    assert status["message"].startswith("1000 errors: ")
    causes = status["details"]["causes"]  # all that kubectl shows
    assert causes[-1]["message"].startswith(f"{1000 - (len(causes) - 1)} more errors")


def test_warnings_are_short_and_few_and_say_how_many_there_are_beside() -> None:
    warnings = response(allowed("u-1", ["w" * 300] * 40))["warnings"]
    assert all(len(each) <= 256 for each in warnings)
    assert warnings[0].endswith("…")
    assert warnings[-1].startswith("25 more findings")
    assert sum(map(len, warnings)) <= 4096


def test_a_text_that_would_break_a_header_is_made_harmless() -> None:
    (warning,) = response(allowed("u-1", ["a\r\nWarning: 199 - b\x1b[31m"]))["warnings"]
    assert warning == "a  Warning: 199 - b [31m"
