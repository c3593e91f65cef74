from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.testing.hessian2 import HessianError, Thing, Value, encode
from meltemi.testing.hessian2_reader import Reader

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
)


def keys() -> st.SearchStrategy[Value]:
    return st.text() | st.integers(0, 99)


def containers(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    return st.lists(inner) | st.dictionaries(keys(), inner)


VALUES: st.SearchStrategy[Value] = st.recursive(SCALARS, containers, max_leaves=10)


def read_all(data: bytes) -> list[Value]:
    reader, values = Reader(data), list[Value]()
    while reader.more:
        values.append(reader.read())
    return values


@given(st.lists(VALUES, max_size=4))
def test_what_is_written_is_read(values: list[Value]) -> None:
    assert read_all(encode(*values)) == values


@pytest.mark.parametrize("value", ["é😀" * 30_000, b"x" * 70_000, "x" * 32, "x" * 31, [0] * 100])
def test_long_values_are_written_in_chunks_and_read_as_one(value: Value) -> None:
    assert read_all(encode(value)) == [value]


# The examples of the specification, form by form.
@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"N", None),
        (b"\x80", -16),
        (b"\xbf", 47),
        (b"\xc7\x00", -256),
        (b"\xcf\xff", 2047),
        (b"\xd0\x00\x00", -262144),
        (b"\xd7\xff\xff", 262143),
        (b"I\x80\x00\x00\x00", -(1 << 31)),
        (b"\xd8", -8),
        (b"\xef", 15),
        (b"\xf0\x00", -2048),
        (b"\xff\xff", 2047),
        (b"\x38\x00\x00", -262144),
        (b"\x59\x00\x00\x01\x2c", 300),
        (b"L\x00\x00\x00\x00\x00\x00\x01\x2c", 300),
        (b"\x5b", 0.0),
        (b"\x5c", 1.0),
        (b"\x5d\x80", -128.0),
        (b"\x5e\x7f\xff", 32767.0),
        (b"\x5f\x00\x00\x2f\xda", 12.25),
        (b"D\x40\x28\x80\x00\x00\x00\x00\x00", 12.25),
        (b"\x01\xc3\x83", "Ã"),
        (b"S\x00\x05hello", "hello"),
        (b"R\x00\x07hello, \x05world", "hello, world"),
        (b"\x30\x05hello", "hello"),
        (b"\x02\xed\xa0\xbd\xed\xb8\x80", "😀"),
        (b"\x23\x01\x02\x03", b"\x01\x02\x03"),
        (b"\x34\x03\x01\x02\x03", b"\x01\x02\x03"),
        (b"A\x00\x01a\x21b", b"ab"),
        (b"\x4b\x00\x00\x00\x01", 60_000),
        (b"\x4a\x00\x00\x00\x00\x00\x00\x00\x05", 5),
        (b"\x72\x04[int\x90\x91", [0, 1]),
        (b"V\x04[int\x92\x90\x91", [0, 1]),
        (b"U\x04list\x90\x91Z", [0, 1]),
        (b"\x57\x90\x91Z", [0, 1]),
        (b"\x7a\x90\x91", [0, 1]),
        (b"M\x13com.caucho.test.Car\x05color\x0aaquamarineZ", {"color": "aquamarine"}),
        (b"H\x91\x03feeZ", {1: "fee"}),
    ],
)
def test_every_form_of_the_specification_is_read(data: bytes, value: Value) -> None:
    assert read_all(data) == [value]


def test_objects_keep_their_class_and_their_fields() -> None:
    (thing,) = read_all(encode(Thing("java.lang.Exception", {"message": "no", "cause": None})))
    assert isinstance(thing, Thing)
    assert (thing.type, thing.fields) == ("java.lang.Exception", {"message": "no", "cause": None})


def test_a_reference_to_an_object_gives_the_same_object_again() -> None:
    first, second = read_all(b"C\x01a\x91\x01x`\x91" + b"Q\x90")
    assert isinstance(first, Thing)
    assert first is second


def test_a_list_can_contain_itself() -> None:
    (values,) = read_all(b"\x79Q\x90")
    assert isinstance(values, list)
    assert values[0] is values


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"S\x00\x05hel",
        b"\x40",
        b"H\x01a",
        b"Q\x90",
        b"O\x90",
        b"H\x78\x90Z",
        b"\x01\xff\xff\xff",
    ],
)
def test_broken_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(HessianError):
        Reader(data).read()


def test_an_int_beyond_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError, match="no Java long"):
        encode(1 << 63)
