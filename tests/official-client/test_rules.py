"""The occurrences of random series in `calendar_instances`, compared with those that python-dateutil computes."""
import collections
import datetime
import json
import random
import unittest
import zoneinfo

from dateutil import rrule

from test_syncctl import Installation

SERIES = 4_000
SEED = 1
UTC = datetime.timezone.utc
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Auckland", "Africa/Casablanca")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
# Within the window of `calendar_instances`, whose ends move during the test.
PAST, FUTURE = datetime.timedelta(days=85), datetime.timedelta(days=395)


class Series:
    """A random series: its start, the lines of its rules, and what dateutil makes of them."""

    def __init__(self, chance, number):
        self.id = f"rules{number:05}"
        self.all_day = chance.random() < 0.25
        self.zone = zoneinfo.ZoneInfo(chance.choice(ZONES))
        day = datetime.date(2005, 1, 1) + datetime.timedelta(days=chance.randrange(0, 8_400))
        # Half of them at hours in which clocks change.
        time = datetime.time(chance.choice((0, 1, 2, 3, chance.randrange(24))), chance.choice((0, 0, 30, chance.randrange(60))))
        self.naive = datetime.datetime.combine(day, datetime.time() if self.all_day else time)
        self.start = self.naive if self.all_day else self.naive.replace(tzinfo=self.zone)
        self.length = datetime.timedelta(days=chance.choice((1, 1, 3))) if self.all_day else datetime.timedelta(minutes=chance.choice((0, 15, 60, 600, 3_000)))
        rule = rule_of(chance, self)
        self.lines = [f"RRULE:{rule}"]
        self.set = rrule.rruleset()
        self.set.rrule(rrule.rrulestr(rule, dtstart=self.start))
        for name, add in (("RDATE", self.set.rdate), ("EXDATE", self.set.exdate)):
            if chance.random() < 0.2:
                self.dates(chance, name, add)
        if chance.random() < 0.05:
            exception = f"FREQ=MONTHLY;BYMONTHDAY={chance.randint(1, 28)}"
            self.lines.append(f"EXRULE:{exception}")
            self.set.exrule(rrule.rrulestr(exception, dtstart=self.start))

    def dates(self, chance, name, add):
        """Dates that the series has in addition, or that it leaves out: most of them its own."""
        dates = [self.naive + datetime.timedelta(days=chance.choice((7, 28, 364)) * chance.randint(1, 12)) for _ in range(chance.randint(1, 4))]
        if name == "EXDATE":
            # Around the present, where it can be seen.
            now = datetime.datetime.now()
            after = now.replace(microsecond=0) if self.all_day else now.replace(microsecond=0, tzinfo=self.zone)
            found = self.set.xafter(after, count=3)
            dates += [date.replace(tzinfo=None) for date in found if chance.random() < 0.7]
        if self.all_day:
            self.lines.append(f"{name};VALUE=DATE:" + ",".join(f"{date:%Y%m%d}" for date in dates))
            dates = [datetime.datetime.combine(date, datetime.time()) for date in dates]
        else:
            self.lines.append(f"{name};TZID={self.zone.key}:" + ",".join(f"{date:%Y%m%dT%H%M%S}" for date in dates))
            dates = [date.replace(tzinfo=self.zone) for date in dates]
        for date in dates:
            add(date)

    def event(self):
        """As Google's API has it."""
        end = self.naive + self.length
        if self.all_day:
            times = {"start": {"date": f"{self.naive:%Y-%m-%d}"}, "end": {"date": f"{end:%Y-%m-%d}"}}
        else:
            # The length is one of elapsed time, also over a change of clocks.
            end = (self.start.astimezone(UTC) + self.length).astimezone(self.zone)
            zone = {"timeZone": self.zone.key}
            times = {"start": {"dateTime": self.start.isoformat()} | zone, "end": {"dateTime": end.isoformat()} | zone}
        return {"id": self.id, "summary": self.id, "recurrence": self.lines} | times

    def occurrences(self, begin, end):
        """The starts in a span: dates, or instants in UTC."""
        if self.all_day:
            found = self.set.between(begin.replace(tzinfo=None), end.replace(tzinfo=None), inc=True)
            return {f"{at:%Y-%m-%d}" for at in found}
        day = datetime.timedelta(days=1)
        found = self.set.between((begin - day).astimezone(self.zone), (end + day).astimezone(self.zone), inc=True)
        return {f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (at.astimezone(UTC) for at in found) if begin <= at < end}


def some(chance, values, most):
    """Distinct values, as a list in a rule."""
    return ",".join(str(value) for value in chance.sample(list(values), chance.randint(1, most)))


def rule_of(chance, series):
    """A random rule, of the kinds that calendars write and of those that only the standard knows."""
    frequency = chance.choices(("DAILY", "WEEKLY", "MONTHLY", "YEARLY"), (3, 4, 4, 2))[0]
    parts = [f"FREQ={frequency}"]
    if chance.random() < 0.5:
        parts.append(f"INTERVAL={chance.randint(2, 9)}")
    if chance.random() < 0.3:
        parts.append(f"WKST={chance.choice(DAYS)}")
    parts += {"DAILY": daily, "WEEKLY": weekly, "MONTHLY": monthly, "YEARLY": yearly}[frequency](chance)
    if chance.random() < 0.1 and not series.all_day:
        parts += [f"BYHOUR={some(chance, range(24), 3)}", f"BYMINUTE={some(chance, (0, 15, 30, 45), 2)}"]
    end = chance.random()
    if end < 0.25:
        parts.append(f"COUNT={chance.choice((5, 30, 300, 3_000))}")
    elif end < 0.45:
        last = datetime.date(2026, 1, 1) + datetime.timedelta(days=chance.randrange(0, 900))
        parts.append(f"UNTIL={last:%Y%m%d}" if series.all_day else f"UNTIL={last:%Y%m%d}T{chance.randrange(24):02}5959Z")
    return ";".join(parts)


def daily(chance):
    if chance.random() < 0.2:
        yield f"BYMONTH={some(chance, range(1, 13), 6)}"
    if chance.random() < 0.2:
        yield f"BYDAY={some(chance, DAYS, 5)}"


def weekly(chance):
    if chance.random() < 0.8:
        yield f"BYDAY={some(chance, DAYS, 5)}"


def monthly(chance):
    kind = chance.random()
    if kind < 0.3:
        yield f"BYMONTHDAY={some(chance, (*range(1, 32), -1, -2, -5), 3)}"
    elif kind < 0.6:
        yield f"BYDAY={chance.choice((1, 2, 3, 4, 5, -1, -2))}{chance.choice(DAYS)}"
    elif kind < 0.8:
        yield f"BYDAY={some(chance, DAYS, 5)}"
        yield f"BYSETPOS={some(chance, (1, 2, 3, -1, -2), 2)}"


def yearly(chance):
    kind = chance.random()
    if kind < 0.3:
        yield f"BYMONTH={some(chance, range(1, 13), 3)}"
        yield f"BYMONTHDAY={some(chance, (*range(1, 32), -1), 2)}"
    elif kind < 0.5:
        yield f"BYMONTH={some(chance, range(1, 13), 3)}"
        yield f"BYDAY={chance.choice((1, 2, 3, 4, -1))}{chance.choice(DAYS)}"
    elif kind < 0.6:
        yield f"BYYEARDAY={some(chance, (*range(1, 367), -1, -100), 3)}"
    elif kind < 0.7:
        yield f"BYWEEKNO={some(chance, (*range(1, 54), -1), 2)}"
        yield f"BYDAY={some(chance, DAYS, 2)}"


class Rules(Installation):
    def test_the_occurrences_of_random_series_are_those_of_dateutil(self):
        chance = random.Random(SEED)
        series = [Series(chance, number) for number in range(SERIES)]
        self.simulator.admin("users", {"email": "ann@example.com"})
        for one in series:
            self.simulator.admin("events", {"user": "ann@example.com", "calendar": "primary", "event": one.event()})
        self.run_it("db", "start")
        self.run_it("accounts", "import", "-", given=json.dumps(self.simulator.lines("accounts")[0]))
        self.environment["SYNCCTL_CALENDAR_PAGE_SIZE"] = "2500"
        self.run_it("calendar", "cron")
        now = datetime.datetime.now(UTC).replace(microsecond=0)
        begin, end = now - PAST, now + FUTURE
        rows = self.run_it(
            "db", "psql", "-At", "-c",
            "SELECT event_id, coalesce(start_date::text, to_char(lower(during) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) FROM calendar_instances"
            f" WHERE CASE WHEN all_day THEN start_date BETWEEN '{begin:%Y-%m-%d}' AND '{end:%Y-%m-%d}' ELSE lower(during) >= '{begin}' AND lower(during) < '{end}' END",
        )
        stored = collections.defaultdict(set)
        for row in rows.splitlines():
            name, start = row.split("|")
            stored[name].add(start)
        midnight = {"hour": 0, "minute": 0, "second": 0}
        different = []
        for one in series:
            known = one.occurrences(*((at.replace(**midnight) for at in (begin, end)) if one.all_day else (begin, end)))
            if known != stored[one.id]:
                missing, excess = sorted(known - stored[one.id])[:3], sorted(stored[one.id] - known)[:3]
                different.append(f"{one.event()['start']} {one.lines}: missing {missing}, too many {excess}")
        total = sum(len(starts) for starts in stored.values())
        print(f"{SERIES} series compared with python-dateutil: {total} occurrences, {len(different)} series differ")
        self.assertFalse(different, "\n".join(different))
        self.assertGreater(total, 50_000)


if __name__ == "__main__":
    unittest.main()
