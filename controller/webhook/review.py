"""What the API server asks and is answered: ``admission.k8s.io/v1`` AdmissionReview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meltemi.protocols.problem import Problem

VERSION = "admission.k8s.io/v1"
REFUSED = 422

LONGEST_WARNING = 256
MOST_WARNINGS = 15
"""Kubernetes shows 256 characters of one and 4,096 of all."""

LONGEST_MESSAGE = 4096
MOST_CAUSES = 20


class MalformedReview(ValueError):
    """The body is no AdmissionReview that we know. The text says why."""


class Request(msgspec.Struct, rename="camel", frozen=True):
    """The part of a request that matters. ``written`` is the object as it would be, None for
    DELETE; ``stored`` as it is, None for CREATE. A dry run is judged as any other: judging has no
    effects.
    """

    uid: str
    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    sub_resource: str = ""
    name: str = ""
    written: dict[str, object] | None = msgspec.field(name="object", default=None)
    stored: dict[str, object] | None = msgspec.field(name="oldObject", default=None)


class _Review(msgspec.Struct, rename="camel", frozen=True):
    api_version: str
    kind: str
    request: Request


_decoder = msgspec.json.Decoder(_Review)


def parse(body: bytes) -> Request:
    """Raises MalformedReview."""
    try:
        review = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedReview(f"this is no AdmissionReview: {error}") from error
    if (review.api_version, review.kind) != (VERSION, "AdmissionReview"):
        raise MalformedReview(
            f"this is a {review.kind} of {review.api_version}, not an AdmissionReview of "
            f"{VERSION}: write admissionReviewVersions: [v1]"
        )
    return review.request


def allowed(uid: str, warnings: Sequence[str] = ()) -> bytes:
    """The object may be stored; ``warnings`` are shown to its author."""
    return _answer({"uid": uid, "allowed": True, **_warned(warnings)})


def refused(uid: str, errors: Sequence[Problem]) -> bytes:
    """The object may not be stored, for each of these reasons: ``message`` has them, and so have
    ``details``, which kubectl shows line by line. Of very many both say how many there are.
    """
    many = "" if len(errors) == 1 else f"{len(errors)} errors: "
    message = many + " | ".join(map(sentence, errors))
    about = errors[0].about
    status = {
        "code": REFUSED,
        "reason": "Invalid",
        "message": _bounded(message, LONGEST_MESSAGE),
        "details": {
            "kind": about.kind,
            "name": about.name,
            "causes": _causes(errors),
        },
    }
    return _answer({"uid": uid, "allowed": False, "status": status})


def _causes(errors: Sequence[Problem]) -> list[dict[str, str]]:
    shown = [_cause(each) for each in errors[:MOST_CAUSES]]
    if (more := len(errors) - MOST_CAUSES) > 0:
        text = f"{more} more errors: correct those above first"
        shown.append({"reason": "FieldValueInvalid", "field": "metadata", "message": text})
    return shown


def _cause(problem: Problem) -> dict[str, str]:
    text = f"{problem.code}: {problem.cause}; {problem.next_step}"
    field = problem.about.field or "metadata"
    message = _bounded(text, LONGEST_MESSAGE)
    return {"reason": "FieldValueInvalid", "field": field, "message": message}


def sentence(problem: Problem) -> str:
    """A finding in one line: code, field, cause and next step."""
    field = f" {problem.about.field}" if problem.about.field else ""
    return f"{problem.code}{field}: {problem.cause}; {problem.next_step}"


def _warned(warnings: Sequence[str]) -> dict[str, object]:
    if not warnings:
        return {}
    shown = [_bounded(each, LONGEST_WARNING) for each in warnings]
    if (more := len(shown) - MOST_WARNINGS) > 0:
        shown[MOST_WARNINGS:] = [f"{more} more findings: see the object's status"]
    return {"warnings": shown}


def _bounded(text: str, longest: int) -> str:
    """Without control characters, which a terminal or a header would take amiss."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _answer(response: dict[str, object]) -> bytes:
    return msgspec.json.encode(
        {"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}
    )
