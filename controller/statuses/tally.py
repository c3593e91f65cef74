"""How many proxies have accepted an object, and what the first says that refused it."""

from __future__ import annotations

from dataclasses import dataclass, replace

LONGEST_WORDS = 500
"""Characters of a proxy's words."""


@dataclass(frozen=True, slots=True, order=True)
class Words:
    """What a proxy says of something that it refuses; the first of several is the least."""

    proxy: str
    message: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How many proxies are in the scope of an object: some have accepted all of it, refuse some of
    it, have not answered yet, or cannot have all of it. Each is counted once, so the four add up
    to ``proxies``.

    ``generation`` and ``uid``: of the object that was looked at. ``words``: of the first that
    refuses.
    """

    generation: int = 0
    acked: int = 0
    nacked: int = 0
    pending: int = 0
    unsupported: int = 0
    words: Words | None = None
    uid: str = ""

    @property
    def proxies(self) -> int:
        """How many are in scope."""
        return self.acked + self.nacked + self.pending + self.unsupported

    def __add__(self, other: Tally) -> Tally:
        """Both together, of the later generation: of an earlier one nothing is accepted."""
        generation = max(self.generation, other.generation)
        one, two = self.at(generation), other.at(generation)
        words = [each for each in (one.words, two.words) if each is not None]
        return Tally(
            generation,
            one.acked + two.acked,
            one.nacked + two.nacked,
            one.pending + two.pending,
            one.unsupported + two.unsupported,
            min(words, default=None),
            self.uid,
        )

    def at(self, generation: int) -> Tally:
        """The same as seen from this generation."""
        if generation == self.generation:
            return self
        return replace(self, generation=generation, acked=0, pending=self.acked + self.pending)
