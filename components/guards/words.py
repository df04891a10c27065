"""Finds words of a list in texts, also where they are written so as not to be found."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from components.errors import ConfigError
from components.guards.scorer import Score, Span

LISTS = Path(__file__).parent / "lists"
# What stands for a letter in writing that wants to pass.
_LIKE = {
    "a": "a@4", "b": "b8", "e": "e3", "g": "g9", "i": "i1!|", "l": "l1|", "o": "o0", "s": "s5$",
    "t": "t7+", "u": "uv",
}  # fmt: skip
# Letters of other alphabets that look like Latin ones; the rest of the folding is Unicode's own.
_TWINS = str.maketrans(
    "авеікмнорстухуѕјӏԁԛԝαβεικνορτυχɑɡıłøđ", "abeikmhopctyxysjldqwabeikvoptuxagilod"
)
_SHORTEST_SPELLED = 4
_GAP = r"[^\w\n]{1,3}"


class WordList:
    """Scores 1 where a text has a word of the lists, else 0.

    Case, accents, full-width and styled letters, look-alike Cyrillic and Greek letters, invisible
    characters, digits and signs for letters (`a` as @ or 4), letters three times or more in a row,
    and in words of four letters or more stars for inner letters (`f**k`) and letters set apart
    (`f.u.c.k`) make no difference. It does not find what is misspelled otherwise, in another
    script, or only meant. A word is a whole word; an entry that ends with `*` is any word that
    begins so.

    Args:
        lists: files with a word or phrase on each line, '#' before comments; the name of one that
            ships (profanity_en), or a path.
        words: further entries.
        allow: words that are not meant, though an entry with `*` covers them.
    """

    def __init__(
        self,
        lists: Sequence[str] = ("profanity_en",),
        words: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> None:
        """Reads the lists.

        Raises:
            ConfigError: one cannot be read, there is no word in them, or one is no word.
        """
        for name, value in (("lists", lists), ("words", words), ("allow", allow)):
            if isinstance(value, str) or not all(isinstance(one, str) for one in value):
                raise ConfigError(f"expected {name} as a list of texts. Received: {value!r}")
        entries = [*(entry for name in lists for entry in _read(name)), *words]
        if not entries:
            raise ConfigError("expected a word in the lists. Received: none")
        self._pattern = _pattern(entries)
        self._allowed = {fold(word)[0] for word in allow}

    def score(self, texts: Sequence[str]) -> list[Score]:
        """One score for each text."""
        found = [[*self._spans(text)] for text in texts]
        return [Score(1.0 if spans else 0.0, spans) for spans in found]

    def _spans(self, text: str) -> Iterator[Span]:
        folded, places = fold(text)
        for match in self._pattern.finditer(folded):
            word = match.group()
            # Digits and signs alone are a number, whatever they look like.
            if any(letter.isalpha() for letter in word) and word not in self._allowed:
                yield Span(places[match.start()], places[match.end() - 1] + 1, "word")


def fold(text: str) -> tuple[str, list[int]]:
    """A text in plain lower-case letters, and for each of them its place in the text.

    Compatibility forms become the plain ones (Unicode normalization form KD), marks and invisible
    characters go, case is folded, and letters that look like Latin ones become those.
    """
    letters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if "a" <= character <= "z" or character in " \n":
            plain = character
        else:
            # Folding case may give what can be decomposed further.
            plain = unicodedata.normalize(
                "NFKD", unicodedata.normalize("NFKD", character).casefold()
            )
            plain = "".join(
                one for one in plain if unicodedata.category(one) not in ("Mn", "Me", "Cf")
            ).translate(_TWINS)
        letters.append(plain)
        places.extend([place] * len(plain))
    return "".join(letters), places


def _read(name: str) -> list[str]:
    shipped = LISTS / f"{name}.txt"
    path = shipped if shipped.is_file() else Path(name)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "bytes that are not UTF-8"
        known = ", ".join(sorted(each.stem for each in LISTS.glob("*.txt")))
        raise ConfigError(
            f"expected a list of words at {name}, or one of {known}. Received: {cause}"
        ) from None
    return [word for line in lines if (word := line.partition("#")[0].strip())]


def _pattern(entries: Iterable[str]) -> re.Pattern[str]:
    """One pattern for all entries, those of a first letter together so that most are passed by."""
    groups: dict[str, list[str]] = defaultdict(list)
    for entry in dict.fromkeys(entries):
        word = " ".join(fold(entry.removesuffix("*"))[0].split())
        if not word or not word[0].isalnum():
            raise ConfigError(f"expected a word that begins with a letter. Received: {entry!r}")
        groups[word[0]].append(_alternatives(word, r"\w*" if entry.endswith("*") else ""))
    branches = [
        f"(?={_letter(first)})(?:{'|'.join(found)})" for first, found in sorted(groups.items())
    ]
    return re.compile(rf"(?<!\w)(?:{'|'.join(branches)})(?!\w)")


def _alternatives(word: str, ending: str) -> str:
    """The ways in which a word may be written."""
    spelled = len(word) >= _SHORTEST_SPELLED and " " not in word
    solid, runs = [], _runs(word)
    for place, (letter, again) in enumerate(runs):
        if letter == " ":
            solid.append(r"\s+")
            continue
        shape = _letter(letter)
        if spelled and 0 < place < len(runs) - 1:
            shape = f"(?:{shape}|[*#])"
        # Double letters tell words apart, 'asses' and 'assess'; three in a row tell of a will.
        solid.append(f"(?:{shape}{{{max(again, 3)},}}|{shape}{{{again}}})")
    ways = ["".join(solid) + ending]
    if spelled:
        ways.append(_GAP.join(_letter(letter) for letter in word))
    return "|".join(ways)


def _runs(word: str) -> list[tuple[str, int]]:
    """Each letter with how often it stands in a row: 'ass' is a once, s twice."""
    runs: list[tuple[str, int]] = []
    for letter in word:
        if runs and runs[-1][0] == letter:
            runs[-1] = (letter, runs[-1][1] + 1)
        else:
            runs.append((letter, 1))
    return runs


def _letter(letter: str) -> str:
    return f"[{re.escape(_LIKE.get(letter, letter))}]"
