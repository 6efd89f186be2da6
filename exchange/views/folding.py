"""Words without marks: "Nghị quyết" and "nghi quyet" are the same two words.

Guarantees: pure; folding twice changes nothing; a text of n characters gives at most n words of at most
`WORD_CHARACTERS_MAX`. Vietnamese vowels lose tone and shape, đ becomes d, case and width go; marks of other scripts
stay, for there they are letters.

Source: Unicode 15 (UAX #15, normalization form KD; case folding).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from unicodedata import normalize

WORD_CHARACTERS_MAX = 64
"""Longer words are cut, when stored and when sought."""

REMEMBERED = 16_384

_MARKS = re.compile("[\u0300-\u036f]+")
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """The text in lower case and without marks."""
    if text.isascii():
        return text.lower()
    bare = _MARKS.sub("", normalize("NFKD", normalize("NFKD", text).casefold())).replace("đ", "d")
    return bare if bare.isascii() else normalize("NFKC", bare)


def words(text: str) -> list[str]:
    """The folded words of a text, in its order, each once."""
    return list(dict.fromkeys(chain.from_iterable(map(_words, text.split()))))


@lru_cache(maxsize=REMEMBERED)
def _words(part: str) -> tuple[str, ...]:
    """Of a part without white space; remembered, for a language has few of them and uses them often."""
    return tuple(word[:WORD_CHARACTERS_MAX] for word in _WORD.findall(fold(part)))
