"""A question as recall reads it: its words, the speakers and the times that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .._vectors.documents import Document
from .._vectors.words import STOP_WORDS, TERM_LENGTH, TERMS_ASKED, terms
from .dates import Named, named_dates
from .memories import moment, speaker_tags

_NAMES_TRIED = 8
_READ = 10_000
"""Characters of a question that are looked through. A longer one is a text, not a question."""

OTHER_SPEAKER = 0.7
"""What somebody else's words count where the question names one speaker."""
NAMED_TIME = 2.0
"""What counts that was said at the time that the question names."""

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_POSSESSIVE = "(?:['\u2019]s)?"


@dataclass(frozen=True)
class Question:
    """What is asked, in a language that has a stemmer."""

    text: str
    language: str

    @cached_property
    def terms(self) -> list[str]:
        """Its terms; of the different ones the first 32."""
        found = terms(self.text[:_READ], self.language)
        known = set(list(dict.fromkeys(found))[:TERMS_ASKED])
        return [term for term in found if term in known]

    @cached_property
    def possible_names(self) -> list[str]:
        """Words, in lower case, that may be speakers: those with a capital; all where none has."""
        words = [
            word
            for word in _WORD.findall(self.text[:_READ])
            if word.casefold() not in STOP_WORDS and len(word) <= TERM_LENGTH
        ]
        capital = [word for word in words if word[:1].isupper()]
        chosen = capital or words
        return list(dict.fromkeys(word.casefold() for word in chosen))[:_NAMES_TRIED]

    def without(self, names: Iterable[str]) -> str:
        """The question without the names of speakers, whom it addresses and does not ask for.

        The whole question, where nothing else is left.
        """
        found = sorted(names, key=len, reverse=True)
        if not found:
            return self.text
        pattern = rf"\b(?:{'|'.join(map(re.escape, found))}){_POSSESSIVE}\b"
        rest = " ".join(re.sub(pattern, " ", self.text, flags=re.IGNORECASE).split())
        return rest if _WORD.search(rest) else self.text

    @cached_property
    def dates(self) -> list[Named]:
        """The days and months that it names."""
        return named_dates(self.text[:_READ])

    def factor(self, document: Document, speaker: str | None) -> float:
        """What a candidate's scores are multiplied by.

        Args:
            document: The candidate.
            speaker: The one speaker that the question names, as ``one_speaker`` says.
        """
        times = 1.0
        said_by = _speaker(document)
        if speaker is not None and said_by is not None and said_by != speaker:
            times *= OTHER_SPEAKER
        if self.dates:
            said_at = moment(document.metadata["created_at"])
            if any(named.is_near(said_at) for named in self.dates):
                times *= NAMED_TIME
        return times


def _speaker(document: Document) -> str | None:
    values = document.metadata
    who = values.get("name") or values.get("role")
    return None if who is None else speaker_tags(who)[0]


def one_speaker(names: Sequence[str], candidates: Iterable[Document]) -> str | None:
    """The speaker that ``names``, words of a question, mean; None where they mean several."""
    wanted = set(names)
    if not wanted:
        return None
    found = {
        who
        for document in candidates
        if (who := _speaker(document)) is not None and wanted & {*speaker_tags(who)}
    }
    return found.pop() if len(found) == 1 else None
