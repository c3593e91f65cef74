"""Everything around a plugin: its scope, and the resources that carry its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meltemi.protocols import envoy, naming
from meltemi.protocols.api import (
    Chain,
    ClusterOptions,
    Compiled,
    Credentials,
    Engine,
    HealthCheck,
    Names,
    Scope,
)
from meltemi.protocols.choice import choose, speaker
from meltemi.protocols.encode import encode
from meltemi.protocols.model import (
    Application,
    Mesh,
    PlainCredentials,
    Port,
    Ref,
    SecretRef,
    TrafficPolicy,
    UnreadableCredentials,
)
from meltemi.protocols.piece import Members, Piece, PieceKey, Reads, reassign
from meltemi.protocols.problem import Problem
from meltemi.protocols.routing import Part, Resolution, Resolver, Split, effective
from meltemi.protocols.sight import service_of, upstream_of
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key, Resource, content_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meltemi.protocols.registry import Registry
    from meltemi.protocols.sight import Sight


@dataclass(frozen=True, slots=True)
class Frame:
    """Compiles one piece: everything around the plugin."""

    registry: Registry
    mesh: Mesh
    namespace: str
    sight: Sight
    port: Port
    key: PieceKey
    check_interval: float
    allowed: frozenset[str]
    exposed: bool

    def compile(self) -> Piece:
        """The piece. Raises what the plugin raises."""
        service, target = self.sight.service, self.key.target
        rule = self.sight.rule.on(self.port) if self.sight.rule else None
        registered, engine, problems = choose(
            self.registry, self.mesh, self.port, target.capability, self.allowed | service.allows
        )
        spoken = speaker(self.registry, self.mesh, self.port) or registered
        resolver = Resolver(self.mesh, self.namespace, service, self.port, spoken.plugin, engine)
        resolution = resolver.resolve(rule)
        application, application_problems = self._application()
        secrets, (auth, upstream_auth), secret_problems = self._credentials()
        scope = Scope(
            service=service,
            port=self.port,
            routes=resolution.routes,
            target=target,
            names=Names(
                cluster=str(naming.ClusterName(service.host, self.port.number)),
                route_config=naming.route_config(service.host, self.port.number),
                stat_prefix=naming.stat_prefix(service.host, self.port.number),
            ),
            rule=rule.ref if rule else None,
            application=application,
            redis=self.sight.redis,
            auth=auth,
            upstream_auth=upstream_auth,
            upstream=self.sight.upstream,
            sharded=frozenset(self._sharded(resolution)),
            entrances=dict(self.key.entrances),
        )
        compiled = registered.plugin.compile(scope, engine)
        if self.port.tls and not engine.tls:
            # Connections that only a server name tells apart would all go to one place.
            compiled = Compiled(locked=True)
        if auth is not None and registered is not spoken:
            compiled, secret_problems = replace(compiled, filters=()), [self._unguarded()]
        clusters, members = self._clusters(resolution, compiled)
        resources = {
            resource.key: resource for resource in (*clusters, *self._route_table(engine, compiled))
        }
        listeners = [*self._listeners(compiled, resources)]
        resources |= {resource.key: resource for resource in listeners}
        tls_problems = [*self._tls_problems()]
        piece = Piece(
            key=self.key,
            engine=engine,
            rule=rule,
            reads=Reads(
                hosts=resolution.hosts | compiled.hosts | {service.host},
                endpoints=frozenset(part.service[1] for m in members for part in m.parts),
                secrets=frozenset(secrets),
                applications=frozenset({self.port.protocol}),
            ),
            resources=resources,
            listeners=tuple(resource.key for resource in listeners),
            members=members,
            runtime=compiled.runtime,
            resolution=resolution,
            unserved={
                **resolution.unserved,
                **{p.about: p.cause for p in compiled.problems if p.unserved},
            },
            problems=(
                *problems,
                *application_problems,
                *resolution.problems,
                *secret_problems,
                *tls_problems,
                *compiled.problems,
            ),
        )
        return reassign(piece, self.mesh)

    def _application(self) -> tuple[Application | None, tuple[Problem, ...]]:
        """How the port's protocol is decoded, and whose word on that does not count."""
        first, *others = self.mesh.applications.get(self.port.protocol, (None,))
        problems = (_outdone(other, first) for other in others if other and first)
        return first, tuple(problems)

    def _credentials(
        self,
    ) -> tuple[list[tuple[str, str]], tuple[Credentials | None, Credentials | None], list[Problem]]:
        """What clients present and what Envoy presents, and the Secrets that were read."""
        read: list[tuple[str, str]] = []
        problems: list[Problem] = []
        found: list[Credentials | None] = []
        redis, upstream = self.sight.redis, self.sight.upstream
        for wanted, effect in (
            (redis.auth if redis else None, "every client is refused"),
            (upstream.auth if upstream else None, "the servers refuse the proxy's commands"),
        ):
            match wanted:
                case SecretRef() | PlainCredentials() if self.exposed:
                    problems.append(_withheld(wanted, effect))
                    found.append(Credentials(missing=True))
                case SecretRef():
                    read.append((wanted.namespace, wanted.name))
                    credentials, lack = _from_secret(self.mesh, wanted)
                    if lack:
                        problems.append(_missing_secret(wanted, lack, effect))
                    found.append(credentials)
                case PlainCredentials():
                    found.append(Credentials(wanted.password, wanted.username))
                case UnreadableCredentials():
                    found.append(Credentials(missing=True))
                case None:
                    found.append(None)
        return read, (found[0], found[1]), problems

    def _sharded(self, resolution: Resolution) -> Iterator[str]:
        """The hosts that are Redis Clusters, of those that the port may lead to."""
        for host in {self.sight.service.host, *resolution.hosts}:
            service = service_of(self.mesh, host, self.namespace)
            upstream = upstream_of(self.mesh, service) if service else None
            if upstream is not None and upstream.cluster:
                yield host

    def _clusters(
        self, resolution: Resolution, compiled: Compiled
    ) -> tuple[list[Resource], tuple[Members, ...]]:
        """The port's own cluster and one per subset, whether or not a route names it: a changed
        route then never waits for a new cluster. And one per split.
        """
        resources: list[Resource] = []
        members: list[Members] = []
        service, policy = self.sight.service, self.sight.policy
        for subset in ("", *(entry.name for entry in policy.subsets)) if policy else ("",):
            found = policy.subset(subset) if policy and subset else None
            name = str(naming.ClusterName(service.host, self.port.number, subset))
            settings = self._policy(subset)
            part = Part(
                label=name,
                service=(service.namespace, service.host),
                port=self.port.number,
                labels=found.labels if found else {},
                blocked=settings.tls != "DISABLE" or compiled.locked,
                discovery=service.discovery,
            )
            origins = [self.port.ref]
            if policy is not None:
                origins.append(found.ref if found else policy.ref)
            if self.sight.upstream is not None:
                origins.append(self.sight.upstream.ref)
            about = found.ref if found else None
            own = Members(name, (part,), tuple(origins), about, type=compiled.cluster.type)
            cluster = self._cluster(own, settings, compiled.cluster)
            resources.append(cluster)
            members.append(own.within(cluster))
        for split in resolution.splits:
            own = Members(split.name, split.parts, (split.ref,))
            cluster = self._split_cluster(split, own, compiled.cluster)
            resources.append(cluster)
            members.append(own.within(cluster))
        return resources, tuple(members)

    def _policy(self, subset: str) -> TrafficPolicy:
        """A RedisDestination's settings come before a DestinationRule's."""
        policy = effective(self.sight.policy, self.port.number, subset)
        if (upstream := self.sight.upstream) is None:
            return policy
        own = upstream.policy
        return replace(
            policy,
            max_connections=own.max_connections or policy.max_connections,
            connect_timeout=own.connect_timeout or policy.connect_timeout,
        )

    def _split_cluster(self, split: Split, members: Members, options: ClusterOptions) -> Resource:
        # Without a check a dead destination would keep its share of the requests.
        check = options.health_check or HealthCheck()
        options = replace(options, health_check=check, type=None)
        return self._cluster(members, split.policy, options, weighted=True)

    def _cluster(
        self,
        members: Members,
        policy: TrafficPolicy,
        options: ClusterOptions,
        *,
        weighted: bool = False,
    ) -> Resource:
        check = options.health_check
        if check is not None:
            check = replace(check, interval=self.check_interval)
            options = replace(options, health_check=check)
        message = envoy.cluster(
            members.cluster, policy, options, weighted=weighted, resolves=members.resolved
        )
        assigned = frozenset({Key(ENDPOINT, members.cluster)})
        return self._resource(
            CLUSTER,
            members.cluster,
            encode(message),
            references=frozenset[Key]() if members.resolved else assigned,
            origins=members.origins,
            warming=check.timeout if check else 0.0,
        )

    def _route_table(self, engine: Engine, compiled: Compiled) -> Iterator[Resource]:
        if (table := compiled.route_table) is None:
            return
        yield self._resource(
            engine.route_type,
            naming.route_config(self.sight.service.host, self.port.number),
            encode(table.message),
            references=frozenset(Key(CLUSTER, name) for name in table.clusters),
            origins=(self.port.ref, *table.origins),
        )

    def _listeners(
        self, compiled: Compiled, resources: Mapping[Key, Resource]
    ) -> Iterator[Resource]:
        host, number = self.sight.service.host, self.port.number
        chains = compiled.chains or ((Chain((), compiled.filters),) if compiled.filters else ())
        every = [emitted for chain in chains for emitted in chain.filters]
        names = frozenset(Key(CLUSTER, name) for emitted in every for name in emitted.clusters)
        tables = frozenset(key for key in resources if key.type_url not in {CLUSTER, ENDPOINT})
        origins = tuple(ref for emitted in every for ref in emitted.origins)
        for address, port in self.key.listen if chains else ():
            name = naming.listener(host, number, address if len(self.key.listen) > 1 else "")
            message = envoy.listener(
                name,
                address,
                port,
                chains,
                stat_prefix=naming.stat_prefix(host, number),
                buffer_limit=compiled.cluster.buffer_limit,
            )
            yield self._resource(
                LISTENER,
                name,
                encode(message),
                references=names | tables,
                origins=(self.port.ref, *origins),
            )

    def _resource(
        self,
        type_url: str,
        name: str,
        body: bytes,
        *,
        references: frozenset[Key],
        origins: tuple[Ref, ...],
        warming: float = 0.0,
    ) -> Resource:
        return Resource(
            type_url=type_url,
            name=name,
            version=content_version(body),
            body=body,
            references=references,
            warming=warming,
            origins=tuple(dict.fromkeys(origins)),
            unit=(self.key.host, self.key.port),
        )

    def _unguarded(self) -> Problem:
        assert self.sight.redis is not None, "credentials of clients come from a RedisService"
        return Problem(
            "MEL0408",
            self.sight.redis.ref.at("spec.settings.auth"),
            f"this proxy cannot ask for the password of {self.sight.service.host} port "
            f"{self.port.number}: it gets no listener, for passing connections through would open",
            "use an Envoy that has redis_proxy",
        )

    def _tls_problems(self) -> Iterator[Problem]:
        policy = self.sight.policy
        if policy is None:
            return
        for subset in ("", *(entry.name for entry in policy.subsets)):
            mode = self._policy(subset).tls
            if mode != "DISABLE":
                found = policy.subset(subset) if subset else None
                yield Problem(
                    "MEL0402",
                    (found.ref if found else policy.ref),
                    f"tls mode {mode} cannot be honoured, and plaintext would betray it",
                    "set the mode to DISABLE if plaintext is meant",
                )


def _outdone(loser: Application, winner: Application) -> Problem:
    return Problem(
        "MEL0309",
        loser.ref,
        f"{winner.ref} says how {loser.protocol!r} is decoded; this object has no effect",
        "delete one of them",
    )


def _from_secret(mesh: Mesh, wanted: SecretRef) -> tuple[Credentials, str]:
    """The credentials, or what is lacking."""
    secret = mesh.secrets.get((wanted.namespace, wanted.name))
    where = f"Secret {wanted.namespace}/{wanted.name}"
    if secret is None:
        return Credentials(missing=True), f"{where} does not exist"
    password = secret.data.get(wanted.password_key)
    if password is None:
        return Credentials(missing=True), f"{where} has no key {wanted.password_key!r}"
    if not password:
        return Credentials(missing=True), f"the key {wanted.password_key!r} of {where} is empty"
    return Credentials(password, secret.data.get(wanted.username_key, "")), ""


def _missing_secret(wanted: SecretRef, lack: str, effect: str) -> Problem:
    return Problem(
        "MEL0403",
        wanted.ref,
        f"{lack}: {effect}",
        "create the Secret with that key, or correct the reference",
    )


def _withheld(wanted: SecretRef | PlainCredentials, effect: str) -> Problem:
    return Problem(
        "MEL0412",
        wanted.ref,
        f"whoever reaches the port for proxies could read the password: {effect}",
        "serve proxies over mutual TLS, or on a loopback address",
    )
