"""Words as ranking by text compares them: no stop words, irregular forms as one, stems.

It knows English best. Languages without spaces are compared by pairs of characters; the stems of
other languages are a choice.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from .._arguments import shown
from .._errors import ConfigurationError

TERMS_KEPT = 20_000
"""Terms of one text that count: those of about 200 KB. A longer text is found by its beginning."""
TERM_LENGTH = 40
"""Characters of a term that count. What is longer is no word, and a query has room for 10,240."""

TERMS_ASKED = 32
"""So many different terms of a question are looked up. A longer one is a text, not a question."""

# Scripts that write no spaces: Thai, Lao, Myanmar and Khmer, Chinese characters and kana.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+(?:['\u2019][^\W{_UNSPACED}]+)*")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_FIRST_UNSPACED = "\u0e00"
_APOSTROPHE = re.compile("['\u2019]")

_STOP_WORDS = """
a about after again all also am an and any are aren as at be because been before being both but
by can could couldn d did didn do does doesn doing don down during each else few for from
further had hadn has hasn have haven having he her here hers herself him himself his how i if in
into is isn it its itself just ll m me more most much my myself no nor not now of off on once
only or other our ours ourselves out over own re s same she should shouldn so some such t than
that the their theirs them themselves then there these they this those through to too under
until up us ve very was wasn we were weren what when where which while who whom whose why will
with won would wouldn yet you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

# Each line: the form that stands for all, and those that no stemmer brings to it.
_FORMS = """
be been|become became|begin began begun|bend bent|bet|bind bound|bite bit bitten|bleed bled
blow blew blown|break broke broken|breed bred|bring brought|build built|burn burnt|buy bought
catch caught|choose chose chosen|come came|cost|creep crept|cut|deal dealt|dig dug
draw drew drawn|dream dreamt|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen
feed fed|feel felt|fight fought|find found|flee fled|fly flew flown|forbid forbade forbidden
forget forgot forgotten|forgive forgave forgiven|freeze froze frozen|get got gotten
give gave given|go went gone|grow grew|grown|hang hung|hear heard|hide hid hidden|hold held
keep kept|know knew known|lay laid|lead led|learn learnt|leave left|lend lent|light lit
lose lost|make made|mean meant|meet met|pay paid|ride rode ridden|ring rang rung|rise rose risen
run ran|say said|see saw seen|seek sought|sell sold|send sent|shake shook shaken|shine shone
shoot shot|show shown|sing sang sung|sink sank|sunk|sit sat|sleep slept|slide slid
speak spoke spoken|speed sped|spend spent|spin spun|stand stood|steal stole stolen|stick stuck
sting stung|strike struck|swear swore sworn|sweep swept|swim swam swum|swing swung
take took taken|teach taught|tear tore torn|tell told|think thought|throw threw thrown
understand understood|wake woke woken|wear wore worn|weep wept|win won|wind wound
write wrote written|child children|foot feet|goose geese|half halves|knife knives|leaf leaves
life lives|loaf loaves|man men|mouse mice|person people|shelf shelves|thief thieves|tooth teeth
wife wives|wolf wolves|woman women|good better best|bad worse worst|far further farther|mum mom
"""


def _forms() -> Iterator[tuple[str, str]]:
    for line in _FORMS.replace("\n", "|").split("|"):
        base, *others = line.split() or [""]
        yield from ((other, base) for other in others)


_IRREGULAR = {other: base for other, base in _forms() if other not in STOP_WORDS}


@functools.cache
def _stemmer(language: str) -> Callable[[str], str]:
    try:
        snowball = importlib.import_module("snowballstemmer")
    except ImportError as error:
        raise ConfigurationError(
            "ranking by words needs snowballstemmer, which the extras langchain, llama-index and "
            "memory bring: pip install snowballstemmer"
        ) from error
    known: list[str] = snowball.algorithms()
    if language not in known:
        raise ConfigurationError(
            f"language {shown(language)} has no stemmer: use one of {', '.join(sorted(known))}"
        )
    stem: Callable[[str], str] = snowball.stemmer(language).stemWord
    return stem


def check_language(language: str) -> None:
    """Raise ConfigurationError for a language without a stemmer."""
    _stemmer(language if isinstance(language, str) else repr(language))


def terms(text: str, language: str = "english") -> list[str]:
    """The terms of ``text`` in their order, repeated as they are: at most 20,000.

    Args:
        text: Any text. One of stop words or of emoji only has none.
        language: Of Snowball's stemmers. Stop words and irregular forms are left out in English.
    """
    return list(itertools.islice(_terms(text, language), TERMS_KEPT))


def _terms(text: str, language: str) -> Iterator[str]:
    of_run = _runs(language)
    for run in _RUN.findall(text.casefold()):
        if run[0] >= _FIRST_UNSPACED and _IS_UNSPACED.match(run):
            yield from _pairs(run)
        elif len(run) <= TERM_LENGTH:
            yield from of_run(run)
        else:  # not remembered
            yield from of_run.__wrapped__(run)


@functools.cache
def _runs(language: str) -> Any:
    """A function from words that apostrophes join to their terms, which remembers the last."""
    stem = _stemmer(language)
    english = language == "english"

    @functools.lru_cache(65_536)
    def of_run(run: str) -> tuple[str, ...]:
        words = _APOSTROPHE.split(run)
        if english:
            words = [_IRREGULAR.get(word, word) for word in words if word not in STOP_WORDS]
        return tuple(stem(word[:TERM_LENGTH]) for word in words)

    return of_run


def _pairs(run: str) -> Iterator[str]:
    """Characters in pairs that overlap: the usual stand-in for words where none are marked."""
    if len(run) == 1:
        yield run
    for start in range(len(run) - 1):
        yield run[start : start + 2]
