from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from meltemi.testing.dubbo_java import DubboJava, JavaProvider, consumer_url
from meltemi.testing.java import JavaRuntime
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.process import ServerProcessError


def test_our_classes_and_the_jars_are_one_class_path() -> None:
    dubbo = DubboJava("3", JavaRuntime(Path("java"), "17"), (Path("classes"), Path("dubbo.jar")))
    command = dubbo.command("Provider", Path("hosts"), "v1", "7")
    assert command[0] == Path("java")
    assert command[-5:] == ["-cp", "classes:dubbo.jar", "org.demo.Provider", "v1", "7"]
    assert "-Djdk.net.hosts.file=hosts" in command


def test_a_consumer_calls_by_name_because_dubbo_replaces_loopback_addresses() -> None:
    url = urlsplit(consumer_url(Address(LOOPBACK, 20880), 1.5, 60))
    assert (url.scheme, url.port) == ("dubbo", 20880)
    assert url.hostname not in {LOOPBACK, "localhost"}


def test_a_consumer_waits_in_milliseconds_and_does_not_retry() -> None:
    url = urlsplit(consumer_url(Address(LOOPBACK, 20880), 1.5, 60))
    assert parse_qs(url.query) == {
        "timeout": ["1500"],
        "heartbeat": ["60000"],
        "retries": ["0"],
        "prefer.serialization": ["hessian2"],
    }


def test_a_consumer_refuses_to_leave_loopback() -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1 only, not 192\.0\.2\.1:20880"):
        consumer_url(Address("192.0.2.1", 20880), 1, 60)


def test_the_addresses_of_providers_are_known_before_they_start_and_differ() -> None:
    assert JavaProvider("v1").address != JavaProvider("v2").address


def test_a_provider_that_was_not_started_has_no_process() -> None:
    with pytest.raises(ServerProcessError, match="use `async with`"):
        assert JavaProvider("v1").process
