use super::*;

fn at(time: &str) -> DateTime<Utc> {
    time.parse().expect("a time")
}

fn start(time: &str, zone: &str) -> Start {
    Start::at(at(time), Some(zone), None).expect("a zone")
}

/// The times of a series that begins on Monday, 2 November 2026, at nine o'clock in Warsaw, up to the new year.
fn november(lines: &[&str]) -> Option<Vec<String>> {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let rules = rules(start("2026-11-02T08:00:00Z", "Europe/Warsaw"), &lines, None)?;
    let times = rules.between(at("2026-11-01T00:00:00Z"), at("2027-01-01T00:00:00Z"), 100)?;
    Some(times.iter().map(|time| time.format("%m-%dT%H:%M").to_string()).collect())
}

#[test]
fn a_series_follows_local_time_and_its_exclusions() {
    let start = start("2026-03-16T09:00:00Z", "Europe/Berlin");
    let lines = ["RRULE:FREQ=WEEKLY", "EXDATE;TZID=Europe/Berlin:20260323T100000"].map(str::to_owned);
    let rules = rules(start, &lines, None).expect("rules");
    let (from, to) = (at("2026-03-16T09:00:00Z"), at("2026-03-30T08:00:00Z"));
    assert_eq!(rules.clone().between(from, to, 10), Some(vec![from, to]));
    assert_eq!(rules.between(from, to, 1), Some(vec![from]));
}

#[test]
fn long_series_are_expanded_and_dense_ones_bounded() {
    let (from, to) = (at("2026-03-16T09:00:00Z"), at("2026-03-17T08:00:00Z"));
    let first_time = |begins: &str, lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        rules(start(begins, "UTC"), &lines, None)?.between(from, to, 1)
    };
    assert_eq!(first_time("1926-01-01T09:00:00Z", &["RRULE:FREQ=DAILY"]), Some(vec![from]));
    assert_eq!(first_time("2026-01-01T09:00:00Z", &["RRULE:FREQ=HOURLY"]), Some(vec![from]));
    assert_eq!(first_time("2025-01-01T09:00:00Z", &["RRULE:FREQ=MINUTELY"]), None);
    assert_eq!(first_time("2025-01-01T09:00:00Z", &["RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"]), Some(vec![]));
    // Exceptions that never occur, and too many of them.
    let never = "EXRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30";
    assert_eq!(first_time("2026-01-01T09:00:00Z", &["RRULE:FREQ=DAILY", never]), Some(vec![from]));
    assert_eq!(first_time("2026-01-01T09:00:00Z", &["RRULE:FREQ=DAILY", "EXRULE:FREQ=SECONDLY"]), None);
}

#[test]
fn invalid_rules_are_rejected() {
    let many: Vec<String> = (0..60).map(|minute| minute.to_string()).collect();
    let fine = format!("RRULE:FREQ=YEARLY;BYDAY=MO;BYHOUR=9,17;BYMINUTE={}", many.join(","));
    for line in [
        "RRULE:FREQ=SOMETIMES",
        &fine,
        "RRULE:BYDAY=MO",
        "RRULE",
        "EXDATE:tomorrow",
        "SOMETHING:ELSE",
        "RRULE:FREQ=DAILY;UNTIL=x",
        "RRULE:FREQ=MONTHLY;BYDAY=-1F\u{fffd}R",
        "RRULE:FREQ=WEEKLY;BYDAY=M\u{fffd}O",
    ] {
        assert_eq!(november(&[line]), None, "{line}");
    }
    assert!(november(&["RRULE:FREQ=DAILY;BYHOUR=9,13,17"]).is_some());
}

#[test]
fn until_is_read_in_every_form_in_the_zone_of_the_series() {
    let weekly = |until: &str| november(&[&format!("RRULE:FREQ=WEEKLY;UNTIL={until}")]).expect("times").last().cloned();
    let table = [
        // A date includes the whole day.
        ("20261207", "12-07T08:00"),
        ("2026-12-07", "12-07T08:00"),
        ("20261206", "11-30T08:00"),
        ("20261207T090000", "12-07T08:00"),
        ("20261207T085900", "11-30T08:00"),
        ("20261207T080000Z", "12-07T08:00"),
        ("20261207T075959Z", "11-30T08:00"),
        ("20261207t0900", "12-07T08:00"),
    ];
    for (until, last) in table {
        assert_eq!(weekly(until).as_deref(), Some(last), "{until}");
    }
    assert_eq!(weekly("20261101T000000Z"), None, "it ends before it starts");
    let all_day = Start::Date("2026-11-02".parse().expect("a date"));
    for until in ["20261109", "20261109T000000Z", "20261109T100000"] {
        let rules = rules(all_day, &[format!("RRULE:FREQ=WEEKLY;UNTIL={until}")], None).expect("rules");
        assert_eq!(rules.last(100), Some(at("2026-11-09T00:00:00Z")), "{until}");
    }
}

#[test]
fn rules_of_other_calendar_programs_are_read_as_google_shows_them() {
    let table: [(&[&str], &[&str]); 13] = [
        (&["RRULE;X-EVOLUTION-ENDDATE=20261103T080000Z:FREQ=DAILY;COUNT=2"], &["11-02T08:00", "11-03T08:00"]),
        (&["rrule: freq=daily; count=2;"], &["11-02T08:00", "11-03T08:00"]),
        (&["RRULE:FREQ=DAILY;COUNT=2;BYSETPOS=;X-ANY=1"], &["11-02T08:00", "11-03T08:00"]),
        (&["RRULE:DATE;TZID=Europe/Warsaw:20261202T090000,20261204T090000"], &["11-02T08:00", "12-02T08:00", "12-04T08:00"]),
        (&["RRULE:DATE:20261202"], &["11-02T08:00", "12-02T08:00"]),
        (&["RRULE:DATE-TIME:20261202T093000Z"], &["11-02T08:00", "12-02T09:30"]),
        (
            &["RDATE;VALUE=PERIOD:20261202T080000Z/20261202T090000Z,20261203T080000Z/PT1H"],
            &["11-02T08:00", "12-02T08:00", "12-03T08:00"],
        ),
        (&["RRULE:FREQ=WEEKLY;COUNT=4", "EXRULE:FREQ=WEEKLY;INTERVAL=2"], &["11-09T08:00", "11-23T08:00"]),
        (
            &["RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;TZID=\"Central European Standard Time\":20261109T090000"],
            &["11-02T08:00", "11-16T08:00"],
        ),
        (&["RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;TZID=Nowhere:20261109T090000"], &["11-02T08:00", "11-16T08:00"]),
        (&["RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;VALUE=DATE:20261109"], &["11-02T08:00", "11-16T08:00"]),
        (
            &["RRULE:FREQ=WEEKLY;BYDAY=1MO;UNTIL=20261110", "X-FOO:bar", "DTSTART:20261102T080000Z"],
            &["11-02T08:00", "11-09T08:00"],
        ),
        (&["RRULE:FREQ=YEARLY;BYMONTHDAY=2"], &["11-02T08:00"]),
    ];
    for (lines, times) in table {
        assert_eq!(
            november(lines).as_deref(),
            Some(times.iter().map(|time| (*time).to_owned()).collect::<Vec<_>>().as_slice()),
            "{lines:?}"
        );
    }
}

#[test]
fn a_zone_that_is_an_offset_has_its_own_days() {
    // Monday in India, Sunday in Greenwich.
    let start = Start::at(at("2026-11-01T20:00:00Z"), Some("Nowhere"), FixedOffset::east_opt(19_800)).expect("a zone");
    let lines = ["RRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20261109", "EXDATE:20261102T013000"].map(str::to_owned);
    assert_eq!(rules(start, &lines, None).expect("rules").last(10), Some(at("2026-11-08T20:00:00Z")));
}

#[test]
fn an_all_day_series_knows_its_dates() {
    let start = Start::Date("2026-11-02".parse().expect("a date"));
    let lines = ["RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20261104", "RDATE;VALUE=DATE:20261106"].map(str::to_owned);
    let times = rules(start, &lines, None).expect("rules").between(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"), 10);
    assert_eq!(times, Some(["2", "3", "6"].map(|day| at(&format!("2026-11-0{day}T00:00:00Z"))).to_vec()));
}

#[test]
fn a_series_entered_late_has_the_same_occurrences() {
    use rand::{Rng as _, SeedableRng as _};
    let mut chance = rand::rngs::StdRng::seed_from_u64(3);
    let mut pick = |choices: &[&str]| choices[chance.random_range(0..choices.len())].to_owned();
    let mut compared = 0;
    for round in 0..2_000 {
        let frequency = pick(&["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]);
        let mut rule = format!("RRULE:FREQ={frequency}");
        rule += &pick(&["", ";INTERVAL=2", ";INTERVAL=3", ";INTERVAL=5"]);
        rule += &pick(&["", ";COUNT=400", ";UNTIL=20260301T000000Z"]);
        rule += &pick(&["", "", ";WKST=SU"]);
        rule += &match frequency.as_str() {
            "MONTHLY" => pick(&["", ";BYMONTHDAY=-1", ";BYDAY=2TU", ";BYDAY=MO,WE,FR;BYSETPOS=-1", ";BYMONTHDAY=30,31"]),
            "YEARLY" => pick(&["", ";BYMONTH=3", ";BYMONTHDAY=5"]),
            _ => pick(&["", ";BYDAY=MO,TH", ";BYMONTH=1,3,11", ";BYHOUR=2,9;BYMINUTE=30"]),
        };
        let zone = pick(&["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]);
        let begins = pick(&["2024-02-29T01:30:00Z", "2019-10-27T00:30:00Z", "2021-05-31T22:15:00Z", "2020-03-08T07:30:00Z"]);
        let start = match round % 4 {
            0 => Start::Date(at(&begins).date_naive()),
            _ => start(&begins, &zone),
        };
        let lines = [rule.clone(), pick(&["", "EXDATE:20260302T093000Z", "RDATE:20260311T101500Z"])];
        let (from, to) = (at("2026-02-20T00:00:00Z"), at("2026-11-10T00:00:00Z"));
        let times = |near| rules(start, &lines, near).map(|rules| rules.between(from, to, 1_000));
        let expected = times(None);
        compared += usize::from(expected.as_ref().is_some_and(|times| times.as_ref().is_some_and(|times| !times.is_empty())));
        assert_eq!(times(Some(from)), expected, "{start:?} {rule}");
    }
    assert!(compared > 1_000, "{compared} series have times");
}
