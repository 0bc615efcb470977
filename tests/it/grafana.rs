//! The Grafana dashboard: each of its queries runs on a real database, expanded as Grafana does it.

use std::collections::BTreeSet;

use regex::{Captures, Regex};
use serde_json::{Value, json};

use crate::support::World;

const DASHBOARD: &str = include_str!("../../grafana/syncctl.json");
/// The interval that Grafana uses for a week's window on a desktop-sized panel, in seconds.
const INTERVAL: &str = "900";

/// The query as expanded for the last week by Grafana's PostgreSQL data source and variables.
fn expanded(sql: &str) -> String {
    let variables = sql.replace("${service:sqlstring}", "'calendar','drive','gmail','attendee'");
    let call = Regex::new(r"\$__(\w+)\(([^()]*)\)").expect("a pattern");
    let (from, to) = ("to_timestamp(BEGINNING)", "to_timestamp(END)");
    let sql = call.replace_all(&variables, |parts: &Captures<'_>| {
        let arguments: Vec<&str> = parts[2].split(',').map(str::trim).collect();
        let group = |arguments: &[&str]| {
            assert_eq!(arguments[1], "$__interval", "{}", &parts[0]);
            format!("floor(extract(epoch from {})/{INTERVAL})*{INTERVAL}", arguments[0])
        };
        match &parts[1] {
            "timeFilter" => format!("{} BETWEEN {from} AND {to}", arguments[0]),
            "timeFrom" => from.into(),
            "timeTo" => to.into(),
            "timeGroup" => group(&arguments),
            "timeGroupAlias" => format!("{} AS \"time\"", group(&arguments)),
            other => panic!("no macro of Grafana: {other}"),
        }
    });
    let now = chrono::Utc::now().timestamp();
    // Up to the next minute, for rows being written.
    let sql = sql.replace("(BEGINNING)", &format!("({})", now - 7 * 86_400)).replace("(END)", &format!("({})", now + 60));
    assert!(!sql.contains('$'), "something is left of {sql}");
    sql
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    dashboard["panels"].as_array().expect("panels").clone()
}

/// The rows of the panel with this title, by column name.
fn rows(world: &World, title: &str) -> Vec<postgres::Row> {
    let panels = panels();
    let panel = panels.iter().find(|panel| panel["title"] == title).unwrap_or_else(|| panic!("no panel {title}"));
    world.query(&expanded(panel["targets"][0]["rawSql"].as_str().expect("a query")))
}

fn busy() -> World {
    let mut world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.sim.churn(6, 1);
    for service in ["drive", "gmail"] {
        world.syncctl(&[service, "cron", "--force"]).expect(0);
    }
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "server_500", "method": "events.list", "user": user, "probability": 1.0 }));
    world.sync_all().expect(1);
    // Summaries written by others or incomplete ones must not blank the panel.
    world.execute("INSERT INTO calendar_cron_summaries (summary_data) VALUES ('[1]'), ('{\"job\": \"calendar cron\"}'), (NULL)");
    world.emit("drive.file.modified", &[uuid::Uuid::new_v4()]);
    world.execute(
        "INSERT INTO outbox_deliveries (event_id, target, seq, subject) SELECT id, 'n8n', seq, subject FROM outbox_events;
         INSERT INTO quarantined_items (stream_id, item_id, raw, error) SELECT id, 'x', '{}', 'bad' FROM streams LIMIT 1;
         INSERT INTO channels (id, stream_id, user_id, service, state, address, token_hash, expires_at)
         SELECT gen_random_uuid(), id, user_id, service, 'live', 'x', '', now() + interval '1 day' FROM streams",
    );
    world
}

#[test]
fn every_query_gives_what_its_panel_needs() {
    let world = busy();
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let mut titles = BTreeSet::new();
    for panel in panels().iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        assert!(titles.insert(title.to_owned()), "two panels {title}");
        let target = &panel["targets"][0];
        assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        let sql = expanded(target["rawSql"].as_str().expect("a query"));
        let rows = world.query(&sql);
        let first = rows.first().unwrap_or_else(|| panic!("{title}: nothing for {sql}"));
        let columns: Vec<(&str, &str)> = first.columns().iter().map(|column| (column.name(), column.type_().name())).collect();
        match panel["type"].as_str() {
            // Grafana expects `time` in seconds and one column of names, and draws a line per name.
            Some("timeseries") => {
                assert_eq!(target["format"], "time_series", "{title}");
                assert!(matches!(columns[0], ("time", "numeric" | "float8")), "{title}: {columns:?}");
                assert_eq!(columns[1], ("metric", "text"), "{title}");
                assert!(columns.len() == 3 && matches!(columns[2].1, "int8" | "float8"), "{title}: {columns:?}");
                let ordered = format!(
                    "SELECT bool_and(ordered) FROM (SELECT time >= lag(time, 1, time) OVER () AS ordered FROM ({sql}) q) o"
                );
                assert!(world.query(&ordered)[0].get::<_, bool>(0), "{title}: not by time");
            }
            Some("stat") => assert!(
                rows.len() == 1 && columns.len() == 1 && matches!(columns[0].1, "int8" | "float8"),
                "{title}: {columns:?}"
            ),
            Some("table") => assert_eq!(target["format"], "table", "{title}"),
            other => panic!("{title}: no panel that this test knows: {other:?}"),
        }
        let text: String = world.query(&format!("SELECT coalesce(string_agg(q::text, ' '), '') FROM ({sql}) q"))[0].get(0);
        assert!(users.iter().all(|user| !text.contains(user.as_str())), "{title} shows an address: {text}");
    }
}

#[test]
fn the_figures_are_those_of_the_runs() {
    let world = busy();
    let runs: i64 = rows(&world, "Runs by status").iter().map(|row| row.get::<_, i64>("runs")).sum();
    assert_eq!(runs, world.runs());
    let errors = rows(&world, "Errors by class");
    assert_eq!((errors[0].get::<_, &str>("class"), errors[0].get::<_, i64>("times")), ("transient", 1));
    let metrics = world.syncctl(&["metrics", "--json"]).expect(0).json();
    let sum = |key: &str| -> f64 {
        let services = metrics["services"].as_array().expect("a list").iter();
        services.map(|service| service["window"][key].as_f64().expect("a number")).sum()
    };
    let shown = |title: &str| rows(&world, title).iter().map(|row| row.get::<_, f64>(2)).sum::<f64>();
    assert_eq!(shown("API calls"), sum("api_calls"));
    assert_eq!(shown("Rows changed"), sum("items_changed"));
    // The bound of the bucket that contains the delays, as interpolated by `metrics`.
    let calendar = &metrics["services"][0]["window"]["delays"];
    assert!(calendar["count"].as_u64() > Some(0), "{calendar}");
    let delays = rows(&world, "Delay of changes, p95 at most");
    let most = delays.iter().filter(|row| row.get::<_, &str>("metric") == "calendar").map(|row| row.get::<_, f64>("seconds"));
    let buckets = calendar["buckets"].as_array().expect("buckets");
    assert!(most.clone().all(|bound| bound >= 1.0) && most.count() > 0, "{buckets:?}");
}

#[test]
fn panels_have_places_of_their_own() {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels() {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        let coordinate = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(coordinate("x") + coordinate("w") <= 24, "{panel}");
        for x in coordinate("x")..coordinate("x") + coordinate("w") {
            for y in coordinate("y")..coordinate("y") + coordinate("h") {
                assert!(taken.insert((x, y)), "{} overlaps another", panel["title"]);
            }
        }
    }
}
