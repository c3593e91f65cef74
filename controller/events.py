"""Every entry of the log by its name, which other tools may rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Entry(NamedTuple):
    """What an entry means. ``fields`` are those that it has beside ``event``, ``level`` and
    ``timestamp``.
    """

    level: str
    fields: tuple[str, ...]
    meaning: str


_FINDING = (
    *("code", "severity", "kind", "namespace", "name", "field", "file", "line"),
    *("title", "cause", "next_step"),
)

EVENTS: Mapping[str, Entry] = {
    "server.listening": Entry("info", ("xds", "port", "tls"), "Proxies can connect."),
    "server.exposed": Entry(
        "warning", ("xds", "next_step"), "Whoever reaches the port for proxies is served."
    ),
    "server.tokens": Entry(
        "info", ("xds", "port", "audience"), "Proxies can connect with service account tokens."
    ),
    "tokens.unanswered": Entry(
        "error",
        ("error", "next_step"),
        "The API server cannot be asked about tokens: only streams of known ones are let in.",
    ),
    "tokens.answered": Entry("info", (), "It can be asked again."),
    "limit.lowered": Entry(
        "warning",
        ("streams", "wanted", "next_step"),
        "The process may not open enough files for as many streams as are allowed.",
    ),
    "admin.plaintext": Entry(
        "warning", ("admin",), "The admin port is off loopback without TLS: tokens can be read."
    ),
    "admin.closed": Entry(
        "warning",
        ("admin", "next_step"),
        "The admin port is off loopback without tokens: only health and readiness are told.",
    ),
    "admin.locked": Entry(
        "error", ("error",), "The file of tokens cannot be used: nobody is let in."
    ),
    "certificate.replaced": Entry("info", (), "New connections get the new certificate."),
    "certificate.refused": Entry(
        "error", ("error",), "A certificate that was replaced cannot be used: the old one stays."
    ),
    "source.synced": Entry(
        "info",
        ("objects", "findings"),
        "Everything was read and compiled once: proxies are served.",
    ),
    "source.failed": Entry(
        "error",
        ("path", "exc_info"),
        "Files could not be read for a reason that nobody expected; what they last said stays.",
    ),
    "source.kind": Entry(
        "info", ("kind", "state", "reason"), "How following a kind in Kubernetes goes; it changed."
    ),
    "source.unreadable": Entry(
        "error", ("kind", "problems"), "Kubernetes delivered something that has no name."
    ),
    "leader.elected": Entry(
        "info", ("identity",), "This replica writes to the cluster from now on."
    ),
    "leader.lost": Entry("info", ("identity",), "This replica does not write any more."),
    "leader.failing": Entry(
        "warning",
        ("lease", "error", "next_step"),
        "The Lease cannot be read or written: this replica does not write, and goes on serving.",
    ),
    "webhook.listening": Entry("info", ("webhook", "port"), "The API server may ask for reviews."),
    "webhook.registered": Entry(
        "info", ("changed",), "The ValidatingWebhookConfiguration was brought up to date."
    ),
    "webhook.unregistered": Entry(
        "warning",
        ("error", "next_step"),
        "The ValidatingWebhookConfiguration cannot be read or changed; said once.",
    ),
    "webhook.renewed": Entry(
        "info", ("action", "reason"), "The webhook's certificate, or its authority, was renewed."
    ),
    "webhook.unrenewed": Entry(
        "warning", ("secret", "error"), "It should be renewed and cannot be; it still holds."
    ),
    "webhook.unmaintained": Entry(
        "warning",
        ("error", "next_step"),
        "The webhook's certificate cannot be read or made; what was loaded stays. Said once.",
    ),
    "webhook.failed": Entry(
        "error",
        ("object", "exc_info"),
        "An object could not be judged for a reason that nobody expected; it was let pass.",
    ),
    "status.failing": Entry(
        "warning",
        ("kind", "namespace", "name", "error", "next_step", "left_out"),
        "What is known of an object cannot be written into its status; it is tried again.",
    ),
    "event.failing": Entry(
        "warning",
        ("error", "left_out"),
        "What happened to an object cannot be told as an Event; its status says it as well.",
    ),
    "report.failing": Entry(
        "warning",
        ("report", "error", "next_step"),
        "What this replica's proxies say does not reach the replica that writes statuses.",
    ),
    "report.unreadable": Entry(
        "warning",
        ("report", "error"),
        "What another replica's proxies say cannot be read: it has another version.",
    ),
    "snapshot.published": Entry(
        "info", ("namespace", "resources"), "A group of proxies has something new to get."
    ),
    "plugin.failed": Entry(
        "error",
        ("host", "port", "traceback"),
        "A protocol's plugin raised; the last good configuration of that service stays.",
    ),
    "finding.appeared": Entry(
        "warning",
        _FINDING,
        "Something is wrong that was not before; at level info where its severity is info.",
    ),
    "findings.appeared": Entry(
        "info",
        ("code", "title", "count"),
        "So many that are only information appeared together, and are not told one by one.",
    ),
    "finding.resolved": Entry("info", ("code", "about"), "It is not wrong any more."),
    "proxy.connected": Entry("info", ("node", "stream", "identity"), "A stream was opened."),
    "proxy.denied": Entry(
        "warning",
        ("node", "identity", "address", "error", "left_out"),
        "A stream was refused: who it is, or what it says of itself, is wrong.",
    ),
    "proxy.nacked": Entry(
        "warning",
        ("stream", "type", "error", "left_out"),
        "A proxy refused something; `finding.appeared` names the objects.",
    ),
    "proxy.disconnected": Entry("info", ("stream",), "A stream has ended."),
}
