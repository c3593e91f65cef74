"""Problems: what is wrong with a user's object, as data with a stable code.

``CODES`` is the whole catalogue; the documentation's list is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from meltemi.protocols.model import Ref


class Severity(Enum):
    """error: something that was asked for is not in force. warning: it is, but look. info: fyi."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(NamedTuple):
    """An entry of the catalogue."""

    severity: Severity
    title: str


E_, W_, I_ = Severity.ERROR, Severity.WARNING, Severity.INFO

CODES: dict[str, Code] = {
    # 01xx: reading a document
    "MEL0101": Code(E_, "The file is not readable YAML"),
    "MEL0102": Code(E_, "A field has a wrong type or value"),
    "MEL0103": Code(W_, "An unknown field is ignored"),
    "MEL0104": Code(E_, "Unknown kind of a group that Meltemi reads"),
    "MEL0105": Code(I_, "A kind of a foreign group is not read"),
    "MEL0106": Code(E_, "Two documents have one name"),
    "MEL0107": Code(E_, "A document is larger than 3 MiB, or a file than 64 MiB"),
    "MEL0108": Code(E_, "The file is not UTF-8"),
    "MEL0109": Code(E_, "A required field is missing"),
    "MEL0110": Code(W_, "A known field is not supported and ignored"),
    "MEL0111": Code(I_, "A part of an object that is for gateways or other hosts is not read"),
    # 02xx: services, ports and endpoints
    "MEL0201": Code(E_, "A port name has no protocol token"),
    "MEL0202": Code(W_, "The protocol has no plugin: the port is served as TCP"),
    "MEL0203": Code(E_, "An address is no IP address"),
    "MEL0204": Code(E_, "Two services have one virtual IP and port"),
    "MEL0205": Code(W_, "The proxy binds to virtual IPs and the service has none: no listener"),
    "MEL0206": Code(
        I_, "A port's name states no protocol that Meltemi serves: the port is skipped"
    ),
    "MEL0207": Code(E_, "Two services claim one host"),
    "MEL0208": Code(W_, "Two listeners of a proxy want one address"),
    # 03xx: rules and routes
    "MEL0301": Code(E_, "A destination host does not exist"),
    "MEL0302": Code(E_, "A destination subset does not exist"),
    "MEL0303": Code(E_, "A destination port does not exist"),
    "MEL0304": Code(E_, "Weights are out of range or do not sum to 100"),
    "MEL0305": Code(E_, "A regex is not RE2"),
    "MEL0306": Code(E_, "The engine cannot express this match: the route is left out"),
    "MEL0307": Code(W_, "The engine cannot express this policy: the route works without it"),
    "MEL0308": Code(W_, "The rule's host does not exist"),
    "MEL0309": Code(E_, "Another object rules this host"),
    "MEL0310": Code(W_, "No request can ever reach this route"),
    "MEL0311": Code(E_, "The protocol does not know this attribute"),
    "MEL0312": Code(E_, "Destinations of one split differ in load balancing or outlier detection"),
    "MEL0313": Code(W_, "The engine folds the case of this attribute's name"),
    "MEL0314": Code(E_, "The protocol cannot split traffic by weights"),
    "MEL0315": Code(W_, "No route is left: the host's own endpoints serve all requests"),
    "MEL0316": Code(E_, "An unknown field in a route: the route is left out"),
    "MEL0317": Code(E_, "A destination that cannot be one of several"),
    # 04xx: policies
    "MEL0401": Code(W_, "A subset selects no endpoint"),
    "MEL0402": Code(E_, "TLS to this destination is not supported: it gets no endpoints"),
    "MEL0403": Code(E_, "A password cannot be found: what it guards is locked"),
    "MEL0404": Code(W_, "A password is written in plain text"),
    "MEL0405": Code(W_, "Transactions are refused while a mirror exists"),
    "MEL0406": Code(W_, "The proxy has no runtime layer: the percentage is fixed in the listener"),
    "MEL0407": Code(W_, "RESP3 needs a newer Envoy: RESP2 is served"),
    "MEL0408": Code(E_, "The proxy cannot ask for a password: no listener"),
    "MEL0409": Code(E_, "Authentication cannot be read: what it guards is locked"),
    "MEL0410": Code(E_, "The proxy cannot find the nodes of a Redis Cluster: no endpoints"),
    "MEL0411": Code(W_, "A read policy has no effect on what is no Redis Cluster"),
    "MEL0412": Code(E_, "A password is not sent over an exposed port: what it guards is locked"),
    "MEL0420": Code(E_, "API keys cannot be allowed or denied here: nobody reaches the brokers"),
    "MEL0421": Code(W_, "A Kafka broker sends clients elsewhere than to the proxy"),
    "MEL0422": Code(I_, "Nothing says whether Kafka's brokers send clients to the proxy"),
    # 05xx: engines and proxies
    "MEL0501": Code(W_, "The proxy lacks the protocol's filter: the port is served as TCP"),
    "MEL0502": Code(E_, "A plugin failed"),
    "MEL0503": Code(E_, "A proxy refused a resource"),
    "MEL0504": Code(E_, "A proxy's node metadata is wrong"),
    "MEL0505": Code(I_, "An old Envoy refuses Redis commands that newer ones know"),
    "MEL0506": Code(W_, "An engine that is not recommended serves the port"),
    # 06xx: the cluster
    "MEL0601": Code(E_, "Objects may not be read: those that were read before stay in force"),
    "MEL0602": Code(W_, "Objects cannot be read now: those that were read before stay in force"),
    "MEL0603": Code(
        E_, "A namespace names too many Secrets: what the last of them guard is locked"
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One user's mistake, on the place that caused it.

    ``cause`` and ``next_step`` are sentences. ``unserved`` says that the route at ``about`` is
    not in force.
    """

    code: str
    about: Ref
    cause: str
    next_step: str
    unserved: bool = False

    @property
    def severity(self) -> Severity:
        """From the catalogue."""
        return CODES[self.code].severity
