//! `sync simulate`: synthetic changes and stored ones, as a table, as JSON and as a picture.

use serde_json::{Value, json};

use crate::support::World;

const SMALL: [&str; 7] = ["sync", "simulate", "--streams=20", "--days=2", "--seed=4", "--trace=bursts", "--trace=stationary"];

#[test]
fn the_table_and_the_picture_have_the_figures_of_the_json_and_no_database_is_needed() {
    let mut world = World::empty();
    world.url = "postgres://nobody@127.0.0.1:9/none".into();
    let json = world.syncctl(&[&SMALL[..], &["--json"]].concat()).expect(0).json();
    assert_eq!((&json["seed"], &json["days"], &json["calls_per_stream_and_day"]), (&json!(4), &json!(2), &json!(24.0)));
    let simulations = json["simulations"].as_array().expect("simulations");
    let traces: Vec<&Value> = simulations.iter().map(|simulation| &simulation["trace"]).collect();
    assert_eq!(traces, ["bursts", "stationary"]);

    let picture = world.folder.path().join("pace.svg");
    let svg = format!("--svg={}", picture.display());
    let text = world.syncctl(&[&SMALL[..], &[svg.as_str()]].concat()).expect(0).stdout;
    let drawn = std::fs::read_to_string(&picture).expect("the picture");
    assert!(text.contains("seed 4") && drawn.starts_with("<svg"), "{text}");
    for simulation in simulations {
        let part = &text[text.find(simulation["trace"].as_str().expect("a name")).expect("its part")..];
        for row in simulation["rows"].as_array().expect("rows") {
            let rule = row["rule"].as_str().expect("a rule");
            let line = part.lines().find(|line| line.starts_with(&format!("{rule}  "))).expect("a line for each rule");
            for window in ["whole", "learnt"] {
                let calls = row[window]["calls"].as_u64().expect("calls");
                let width = if window == "whole" { 960 } else { 480 };
                assert!(calls.abs_diff(width) <= 5, "{rule} made {calls} calls");
                let mean = row[window]["mean"].as_f64().expect("a mean");
                assert!(line.contains(&format!(" {calls} ")) && line.contains(&format!(" {mean:.1} ")), "{line}: {row}");
            }
            assert!(drawn.contains(&format!("{:.1} min", row["learnt"]["mean"].as_f64().expect("a mean"))), "{row}");
        }
    }
}

#[test]
fn stored_changes_are_replayed_each_where_it_was() {
    let world = World::with_users(3, 40);
    let nothing = world.syncctl(&["sync", "simulate", "--stored"]).expect(1);
    assert!(nothing.stderr.contains("no changes stored from the last 14 days: sync first, or set --days"), "{}", nothing.stderr);

    world.sync_all().expect(0);
    // One change per hour and calendar, and ten that are too old.
    world.execute(
        "UPDATE calendar_events e SET updated = now() - make_interval(hours => n.hours::int, mins => 5)
         FROM (SELECT stream_id, event_id, row_number() OVER (PARTITION BY stream_id ORDER BY event_id) AS hours
               FROM calendar_events) n WHERE n.stream_id = e.stream_id AND n.event_id = e.event_id",
    );
    world.execute(
        "UPDATE calendar_events SET updated = now() - interval '9 days' WHERE updated < now() - interval '30 hours 30 minutes'",
    );
    let json = world.syncctl(&["sync", "simulate", "--stored", "--days=4", "--json"]).expect(0).json();
    assert_eq!((&json["seed"], json["simulations"].as_array().map(Vec::len)), (&Value::Null, Some(1)));
    let calendar = &json["simulations"][0];
    let changes = world.rows("calendar_events WHERE updated > now() - interval '4 days'");
    assert_eq!((&calendar["trace"], &calendar["streams"]), (&json!("calendar"), &json!(3)));
    assert_eq!(changes, 90);
    for row in calendar["rows"].as_array().expect("rows") {
        assert_eq!((&row["whole"]["changes"], &row["learnt"]["changes"]), (&json!(90), &json!(90)), "{row}");
        let mean = row["learnt"]["mean"].as_f64().expect("a mean");
        assert!(mean > 0.0 && mean < 120.0, "{row}");
    }
}

#[test]
fn a_file_is_replayed_with_the_streams_that_have_no_change() {
    let world = World::empty();
    let file = world.folder.path().join("people.tsv");
    let changes: String = (0..40).map(|hour| format!("{}\t{}\n", hour % 5, hour * 7200 + 60)).collect();
    std::fs::write(&file, format!("# stream\tseconds since a Monday; 4 days; 20 streams in all\n{changes}")).expect("the file");
    let trace = format!("--trace={}", file.display());
    let json = world.syncctl(&["sync", "simulate", &trace, "--json"]).expect(0).json();
    let simulation = &json["simulations"][0];
    assert_eq!((&simulation["streams"], &simulation["days"]), (&json!(20), &json!(4)));
    for row in simulation["rows"].as_array().expect("rows") {
        assert_eq!((&row["whole"]["changes"], &row["learnt"]["changes"]), (&json!(40), &json!(16)), "{row}");
    }
    let table = world.syncctl(&["sync", "simulate", &trace, "--streams=30", "--days=2"]).expect(0).stdout;
    assert!(table.contains("recorded changes; 25 streams have none (30 streams, 24 changes, 2 days)"), "{table}");
    let few = world.syncctl(&["sync", "simulate", &trace, "--streams=3"]).expect(2);
    assert!(few.stderr.contains("it names 5 streams, more than the 3 that there are: raise --streams"), "{}", few.stderr);
}

#[test]
fn a_bad_line_of_a_file_is_named_with_what_to_do() {
    let world = World::empty();
    let file = world.folder.path().join("people.tsv");
    let trace = format!("--trace={}", file.display());
    for (text, fault) in [
        ("# stream\tsecond\n1\t60\n1 70\n", "people.tsv, line 3: no tab: write a stream, a tab and the second of a change"),
        ("1\tnoon\n", "people.tsv, line 1: `noon` is no number: write seconds since the Monday"),
        ("1\t-5\n", "people.tsv, line 1: the second must be from 0 to"),
        ("# nothing\n", "people.tsv: no changes: write a line for each change"),
    ] {
        std::fs::write(&file, text).expect("the file");
        let ran = world.syncctl(&["sync", "simulate", &trace]).expect(2);
        assert!(ran.stderr.contains(fault), "{}", ran.stderr);
    }
    let ran = world.syncctl(&["sync", "simulate", "--trace=burst"]).expect(2);
    assert!(ran.stderr.contains("--trace takes stationary, office, bursts or a readable file"), "{}", ran.stderr);
}

#[test]
fn terms_that_make_no_sense_are_refused() {
    let world = World::empty();
    for wrong in [["--min=2h", "--max=1h"], ["--calls=0", "--max=1h"], ["--min=0s", "--max=1h"]] {
        let ran = world.syncctl(&[&["sync", "simulate"][..], &wrong].concat()).expect(2);
        assert!(ran.stderr.contains("--calls must be more than 0"), "{}", ran.stderr);
    }
    let ran = world.syncctl(&["sync", "simulate", "--streams=20", "--days=2", "--calls=0.5"]).expect(2);
    assert!(ran.stderr.contains("set --calls, --min or --max"), "{}", ran.stderr);
}
