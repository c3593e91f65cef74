"""The part of google-re2 that Meltemi calls; the package ships no types."""

from enum import Enum

class error(Exception): ...

class Options:
    class Encoding(Enum):
        UTF8 = 1
        LATIN1 = 2

    encoding: Encoding
    log_errors: bool
    max_mem: int
    def __init__(self) -> None: ...

class _Match: ...

class _Regexp:
    @property
    def programsize(self) -> int: ...
    def fullmatch(self, text: str | bytes) -> _Match | None: ...
    def search(self, text: str | bytes) -> _Match | None: ...

def compile(pattern: str | bytes, options: Options | None = None) -> _Regexp: ...
