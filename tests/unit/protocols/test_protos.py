"""Our own protos have the wire format of Envoy's, of its contrib filters and of Aeraki's proxy."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from meltemi.controller.proto_json import decode
from meltemi.protocols import foreign
from meltemi.protocols._pb import meta_protocol_proxy_pb2 as pb
from meltemi.protocols.encode import pack_foreign
from tests.kafka_broker import BROKER, BYTES, MEANING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
    from google.protobuf.message import Message

PROTOS = Path(__file__).parents[3] / "proto"
# "// envoy.config.core.v3.Locality", more lines of comment, "message Locality {"
SAID = re.compile(r"// (envoy\.[\w.]+)\n(?:\s*//.*\n)*\s*(message|enum) (\w+)")
LACKING = {"protocol_version"}
"""Fields that xds-protos lacks as well."""


# -- Envoy's own, as xds-protos has them ----------------------------------------------------------


def claims() -> Iterator[tuple[str, str, str]]:
    """File, our name and Envoy's name of every message and enum that says it is Envoy's."""
    for path in sorted(PROTOS.glob("*.proto")):
        for name, _, ours in SAID.findall(path.read_text()):
            if ".kafka_broker." not in name:
                yield path.stem, ours, name


def own_file(stem: str) -> FileDescriptor:
    owner = "xds" if stem in {"csds", "discovery"} else "protocols"
    module = importlib.import_module(f"meltemi.{owner}._pb.{stem}_pb2")
    found: FileDescriptor = module.DESCRIPTOR
    return found


def members(file: FileDescriptor) -> Iterator[Descriptor | EnumDescriptor]:
    """All messages and enums of a file, nested ones too."""
    yield from file.enum_types_by_name.values()
    waiting = [*file.message_types_by_name.values()]
    for message in waiting:
        yield message
        yield from message.enum_types
        waiting += message.nested_types


def official(name: str) -> Descriptor | EnumDescriptor:
    """What xds-protos knows by that name."""
    package = re.split(r"\.(?=[A-Z])", name)[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)
    pool = descriptor_pool.Default()
    try:
        return pool.FindMessageTypeByName(name)
    except KeyError:
        return pool.FindEnumTypeByName(name)


def shape(member: Descriptor | EnumDescriptor) -> dict[str, tuple[object, ...]]:
    """What of a member can be seen on the wire."""
    if isinstance(member, EnumDescriptor):
        return {name: (value.number,) for name, value in member.values_by_name.items()}
    return {
        field.name: (field.number, wire_type(field), field.is_repeated)
        for field in member.fields
        if field.name not in LACKING
    }


def wire_type(field: FieldDescriptor) -> int:
    """An enum is an int32."""
    return field.TYPE_INT32 if field.type == field.TYPE_ENUM else field.type


@pytest.mark.parametrize(("stem", "ours", "name"), [*claims()], ids=lambda part: str(part))
def test_a_subset_of_envoys_has_its_numbers_and_types(stem: str, ours: str, name: str) -> None:
    found = [member for member in members(own_file(stem)) if member.name == ours]
    assert len(found) == 1
    theirs = shape(official(name))
    assert {field: theirs.get(field) for field in shape(found[0])} == shape(found[0])


def test_every_member_says_what_it_is_on_the_wire() -> None:
    for path in PROTOS.glob("*.proto"):
        text = path.read_text()
        declared = len(re.findall(r"^\s*(?:message|enum) ", text, re.MULTILINE))
        said = re.findall(
            r"// (?:envoy|aeraki|google)\.[\w.]+\n(?:\s*//.*\n)*\s*(?:message|enum) ", text
        )
        assert len(said) == declared, path.name


# -- contrib's and Aeraki's, as protoc reads bytes without knowing their types ---------------------


def raw(message: Message) -> str:
    """Field numbers and values, by protoc."""
    ran = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "--decode_raw"],
        input=message.SerializeToString(deterministic=True),
        capture_output=True,
        check=True,
    )
    return ran.stdout.decode()


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_kafka_broker_has_contribs_numbers() -> None:
    assert BROKER.SerializeToString(deterministic=True) == BYTES
    assert lines(raw(BROKER)) == lines(r"""
        1: "outbound|9092||kafka.example"
        2: 1
        3 {
          1 {
            1: 1
            2: "one.example"
            3: 19092
          }
          1 {
            1: 300
            2: "kafka.example"
            3: 65535
          }
        }
        4: "\000\001\003\022\377\377\001"
        5: "\024"
    """)


def test_meta_protocol_proxy_has_aerakis_numbers() -> None:
    proxy = pb.MetaProtocolProxy(
        stat_prefix="s",
        application_protocol="dubbo",
        rds=pb.Rds(
            config_source=pb.ConfigSource(
                ads=pb.AggregatedConfigSource(), resource_api_version=pb.V3
            ),
            route_config_name="r",
        ),
        codec=pb.Codec(name="c", config=Any(type_url="t")),
        meta_protocol_filters=[pb.MetaProtocolFilter(name="f", config=Any(type_url="t"))],
        tracing=pb.Tracing(
            client_sampling=pb.Percent(value=100),
            random_sampling=pb.Percent(value=100),
            overall_sampling=pb.Percent(value=100),
            verbose=True,
            max_tag_length=UInt32Value(value=9),
        ),
        idle_timeout=Duration(seconds=7),
        protocol=pb.ApplicationProtocol(name="p", codec=pb.Codec(name="c"), multiplexing=True),
    )
    assert lines(raw(proxy)) == lines("""
        1: "s"
        2: "dubbo"
        3 {
          1 {
            3: ""
            6: 2
          }
          2: "r"
        }
        5 {
          1: "c"
          2 {
            1: "t"
          }
        }
        6 {
          1: "f"
          2 {
            1: "t"
          }
        }
        7 {
          3 {
            1: 0x4059000000000000
          }
          4 {
            1: 0x4059000000000000
          }
          5 {
            1: 0x4059000000000000
          }
          6: 1
          7 {
            1: 9
          }
        }
        11 {
          1: 7
        }
        12 {
          1: "p"
          2 {
            1: "c"
          }
          3: 1
        }
    """)


def test_routes_inside_of_meta_protocol_proxy_have_aerakis_numbers() -> None:
    weighted = pb.WeightedCluster.ClusterWeight(name="c", weight=UInt32Value(value=9))
    mirror = pb.RouteAction.RequestMirrorPolicy(
        cluster="m",
        runtime_fraction=pb.RuntimeFractionalPercent(
            default_value=pb.FractionalPercent(
                numerator=5, denominator=pb.FractionalPercent.MILLION
            )
        ),
    )
    route = pb.Route(
        name="r",
        match=pb.RouteMatch(metadata=[pb.HeaderMatcher(name="a", present_match=True)]),
        route=pb.RouteAction(
            weighted_clusters=pb.WeightedCluster(clusters=[weighted]),
            hash_policy=["a"],
            request_mirror_policies=[mirror],
        ),
        request_mutation=[pb.KeyValue(key="k", value="v")],
        response_mutation=[pb.KeyValue(key="k", value="v")],
    )
    plain = pb.Route(route=pb.RouteAction(cluster="c"))
    table = pb.RouteConfiguration(name="t", routes=[route, plain])
    assert lines(raw(pb.MetaProtocolProxy(route_config=table))) == lines("""
        4 {
          1: "t"
          2 {
            1: "r"
            2 {
              1 {
                1: "a"
                7: 1
              }
            }
            3 {
              2 {
                1 {
                  1: "c"
                  2 {
                    1: 9
                  }
                }
              }
              10: "a"
              11 {
                1: "m"
                2 {
                  1 {
                    1: 5
                    2: 2
                  }
                }
              }
            }
            19 {
              1: "k"
              2: "v"
            }
            20 {
              1: "k"
              2: "v"
            }
          }
          2 {
            3 {
              1: "c"
            }
          }
        }
    """)


def test_a_local_rate_limit_has_aerakis_numbers() -> None:
    bucket = pb.TokenBucket(max_tokens=5)
    condition = pb.LocalRateLimitCondition(match=pb.RouteMatch(), token_bucket=bucket)
    limit = pb.LocalRateLimit(stat_prefix="s", token_bucket=bucket, conditions=[condition])
    assert lines(raw(limit)) == lines("""
        1: "s"
        2 {
          1: 5
        }
        3 {
          1: ""
          2 {
            1: 5
          }
        }
    """)


# -- what people are shown ------------------------------------------------------------------------


def test_foreign_messages_are_shown_as_envoy_would() -> None:
    assert decode(f"type.googleapis.com/{foreign.KAFKA_BROKER}", BYTES) == MEANING


def test_what_lies_in_a_foreign_message_is_shown_too() -> None:
    limit = pb.LocalRateLimit(
        stat_prefix="s",
        token_bucket=pb.TokenBucket(
            max_tokens=5, tokens_per_fill=UInt32Value(value=2), fill_interval=Duration(seconds=60)
        ),
        conditions=[
            pb.LocalRateLimitCondition(
                match=pb.RouteMatch(
                    metadata=[
                        pb.HeaderMatcher(name="a", range_match=pb.Int64Range(start=2**53, end=-1))
                    ]
                )
            )
        ],
    )
    name = next(name for name, cls in foreign.TYPES.items() if cls is pb.LocalRateLimit)
    config = Any(type_url=f"type.googleapis.com/{name}", value=limit.SerializeToString())
    proxy = pb.MetaProtocolProxy(
        meta_protocol_filters=[pb.MetaProtocolFilter(name="limit", config=config)]
    )
    packed = pack_foreign(foreign.META_PROTOCOL_PROXY, proxy)
    assert decode(packed.type_url, packed.value) == {
        "metaProtocolFilters": [
            {
                "name": "limit",
                "config": {
                    "@type": config.type_url,
                    "statPrefix": "s",
                    "tokenBucket": {"maxTokens": 5, "tokensPerFill": 2, "fillInterval": "60s"},
                    "conditions": [
                        {
                            "match": {
                                "metadata": [
                                    {
                                        "name": "a",
                                        "rangeMatch": {"start": "9007199254740992", "end": "-1"},
                                    }
                                ]
                            }
                        }
                    ],
                },
            }
        ]
    }
