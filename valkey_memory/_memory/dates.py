"""Days and months that a question names: 7 May 2023, May 7th, 2023-05-07, in May."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import NamedTuple

DAY_SLACK = dt.timedelta(days=2)
MONTH_SLACK = dt.timedelta(days=7)
"""What belongs to a day is told a little later, or planned before. Source: measured."""

_NAMES = [*calendar.month_name[1:], *calendar.month_abbr[1:], "Sept"]
_MONTHS = {name.casefold(): number % 12 + 1 for number, name in enumerate(_NAMES[:24])}
_MONTHS["sept"] = 9
_MONTH = rf"(?P<month>{'|'.join(sorted(map(re.escape, _MONTHS), key=len, reverse=True))})\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_FORMS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_YEAR}-(?P<number>[01]?\d)-(?P<day>[0-3]?\d)\b",
        rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?\b",
        rf"\b{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?\b(?!\d)",
        rf"\b{_MONTH}\s+{_YEAR}\b",
        # A month alone: "may" and "march" are words, too.
        rf"\b(?:in|of|since|during|last|until|this|early|late)\s+{_MONTH}(?=\W|$)",
    )
]


class Named(NamedTuple):
    """A day or a month, of a year or of any."""

    month: int
    day: int | None = None
    year: int | None = None

    def is_near(self, time: dt.datetime) -> bool:
        """Whether ``time`` is that day within two days, or that month within seven."""
        return any(self._is_near(time, year) for year in self._years(time))

    def _years(self, time: dt.datetime) -> list[int]:
        # December is near to January.
        around = [time.year - 1, time.year, time.year + 1]
        return [y for y in (around if self.year is None else [self.year]) if 2 <= y <= 9998]

    def _is_near(self, time: dt.datetime, year: int) -> bool:
        last = calendar.monthrange(year, self.month)[1]
        slack = MONTH_SLACK if self.day is None else DAY_SLACK
        first_day = self.day or 1
        if first_day > last:
            return False
        begin = dt.datetime(year, self.month, first_day, tzinfo=dt.UTC)
        end = dt.datetime(year, self.month, self.day or last, tzinfo=dt.UTC) + dt.timedelta(days=1)
        return begin - slack <= time < end + slack


def named_dates(question: str) -> list[Named]:
    """The days and months that ``question`` names, those of a longer form only once."""
    found: list[Named] = []
    rest = question
    for form in _FORMS:
        for match in form.finditer(rest):
            parts = match.groupdict()
            month = int(parts["number"]) if parts.get("number") else _month(parts)
            day, year = (int(parts[p]) if parts.get(p) else None for p in ("day", "year"))
            if 1 <= month <= 12 and (day is None or 1 <= day <= 31):
                found.append(Named(month, day, year))
        rest = form.sub(" ", rest)
    return found


def _month(parts: dict[str, str | None]) -> int:
    return _MONTHS[(parts["month"] or "").casefold()]
