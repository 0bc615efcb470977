//! `metrics`: the sums are those of the runs, in all three forms.

use serde_json::{Value, json};

use crate::support::World;

#[test]
fn the_window_sums_its_runs_and_stands_against_the_one_before() {
    let mut world = World::with_users(3, 5);
    let first = world.sync_all().expect(0).json();
    world.execute("UPDATE calendar_cron_results SET start_time = start_time - interval '30 hours'");
    let good = world.sync_all().expect(0).json();
    world.sim.churn(6, 1);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.sim.users().into_iter().next().expect("a user");
    world.sim.fault(json!({ "fault": "server_500", "method": "events.list", "user": user, "probability": 1.0 }));
    let partial = world.sync_all().expect(1).json();
    world.sim.clear_faults();

    let metrics = world.syncctl(&["calendar", "metrics", "--json"]).expect(0).json();
    let (window, before) = (&metrics["window"], &metrics["before"]);
    assert_eq!((&window["runs"], &before["runs"]), (&json!(2), &json!(1)));
    assert_eq!(window["by_status"], json!({ "completed": 1, "partial": 1 }));
    assert_eq!(window["success_rate"], 0.5);
    let sum = |key: &str| json!(good[key].as_u64().expect("a number") + partial[key].as_u64().expect("a number"));
    assert_eq!((&window["api_calls"], &window["streams"]), (&sum("api_calls"), &sum("streams")));
    assert_eq!((&window["successful"], &window["failed"]), (&json!(3 + 2), &json!(1)));
    assert_eq!(window["errors"], json!({ "transient": 1 }));
    assert_eq!(window["duration_max_ms"], json!(good["elapsed_ms"].as_u64().max(partial["elapsed_ms"].as_u64())));
    let changed = |report: &Value| {
        let kinds = report["changes"].as_object().expect("kinds").values();
        kinds
            .map(|counts| {
                ["created", "updated", "deleted"].map(|key| counts[key].as_u64().expect("a number")).iter().sum::<u64>()
            })
            .sum::<u64>()
    };
    assert_eq!(window["items_changed"], changed(&good) + changed(&partial));
    assert_eq!(before["items_changed"], changed(&first));

    let text = world.syncctl(&["calendar", "metrics", "--prometheus"]).expect(0).stdout;
    for line in [
        "syncctl_runs{service=\"calendar\",status=\"partial\"} 1.0".to_owned(),
        "syncctl_errors{service=\"calendar\",class=\"transient\"} 1.0".to_owned(),
        format!("syncctl_api_calls{{service=\"calendar\"}} {}.0", window["api_calls"]),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    let table = world.syncctl(&["calendar", "metrics"]).expect(0).stdout;
    assert!(table.contains("1 completed, 1 partial") && table.contains("50.0 %") && table.contains("1 transient"), "{table}");
}

#[test]
fn a_window_without_runs_says_so() {
    let world = World::empty();
    let metrics = world.syncctl(&["calendar", "metrics", "--json"]).expect(0).json();
    assert_eq!((&metrics["window"]["runs"], &metrics["window"]["success_rate"]), (&json!(0), &Value::Null));
    assert!(world.syncctl(&["calendar", "metrics"]).expect(0).stdout.contains("none"));
}
