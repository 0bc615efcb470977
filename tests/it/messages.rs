//! Error messages for bad input, as users see them.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::World;

/// Replaces parts that differ from run to run.
fn steady(world: &World, text: &str) -> String {
    let mut text = text.replace(&world.folder.path().display().to_string(), "<folder>").replace(&world.url, "<url>");
    for (pattern, name) in [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
        (r"127\.0\.0\.1:\d+", "<address>"),
        (r"k\d{8}-[0-9a-f]{6}", "<key>"),
        (r"port \d+", "port <port>"),
        (r"/[^ ]*/\.s\.PGSQL\.\d+", "<socket>"),
        (r"host=[^ ]+|(/[\w.-]+)+/socket", "<socket folder>"),
        (r"test_\d+", "<database>"),
        (r"knows \(\d+\)", "knows (<version>)"),
    ] {
        text = regex::Regex::new(pattern).expect("a pattern").replace_all(&text, name).into_owned();
    }
    text
}

#[track_caller]
fn said(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.syncctl(arguments).expect(code);
    steady(world, &output.stderr)
}

#[test]
fn no_such_user() {
    let world = World::empty();
    assert_snapshot!(said(&world, &["calendar", "poll", "nobody@example.com"], 2));
}

#[test]
fn a_broken_settings_file() {
    let world = World::empty();
    let file = world.folder.path().join("syncctl.toml");
    let file_name = file.display().to_string();
    let mut messages = Vec::new();
    for text in [
        "[calendar\npage_size = 1\n",
        "\n[calendar]\npage_sise = 100\n",
        "[calender]\npage_size = 100\n",
        "[calendar]\npage_size = \"many\"\n",
        "[calendar]\n\npage_size = 9999\n",
        "[engine]\nlease = \"5 parsecs\"\n",
        "[calendar]\nwindow_past = \"300years\"\n",
        "[db]\nauto_migrate = \"perhaps\"\n",
    ] {
        std::fs::write(&file, text).expect("writing");
        messages.push(said(&world, &["config", "show", "--config", &file_name], 78));
    }
    messages.push(said(&world, &["config", "show", "--config", "/nowhere.toml"], 78));
    messages.push(said(&world, &["config", "show", "--set", "engine.tries=few"], 78));
    assert_snapshot!(messages.join(""));
}

#[test]
fn every_line_of_standard_error_is_a_complete_message() {
    let world = World::with_users(1, 3);
    let file = world.folder.path().join("syncctl.toml");
    std::fs::write(&file, "[calendar\n").expect("writing");
    world.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = E'no\\nroom', DETAIL = 'none at all', HINT = E'make\\r\\nsome'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON calendar_events EXECUTE FUNCTION refuse()",
    );
    let runs = [
        world.syncctl(&["config", "show", "--config", file.to_str().expect("a path")]).expect(78),
        world.syncctl(&["calendar", "cron"]).expect(1),
    ];
    for line in runs.iter().flat_map(|run| run.stderr.lines()) {
        assert!(line.starts_with("syncctl: ") || line.starts_with('['), "{line:?} in {runs:#?}");
    }
    assert!(runs[1].stderr.contains("none at all"), "{runs:#?}");
    let columns = ["failed_message FROM streams", "error_message FROM calendar_cron_results"];
    for column in columns {
        let messages = world.query(&format!("SELECT {column}"));
        let messages: Vec<String> = messages.iter().filter_map(|row| row.get(0)).collect();
        assert!(!messages.is_empty() && messages.iter().all(|message| !message.contains(['\n', '\r'])), "{messages:?}");
    }
}

#[test]
fn a_variable_that_is_no_setting() {
    let mut world = World::empty();
    world.set("SYNCCTL_CALENDAR_PAGESIZE", "5");
    assert_snapshot!(said(&world, &["config", "show"], 78));
}

#[test]
fn a_schema_that_is_missing_or_too_new() {
    let mut world = World::empty();
    let fresh = crate::support::postgres::shared().database();
    let url = std::mem::replace(&mut world.url, fresh.url());
    let missing = said(&world, &["calendar", "cron"], 78);
    world.url = url;
    world.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'future', '')");
    let newer = said(&world, &["calendar", "cron"], 78);
    assert_snapshot!(format!("{missing}{newer}"));
}

#[test]
fn a_cut_json_body() {
    let mut world = World::with_users(1, 1);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    world.sim.fault(json!({ "fault": "cut_json", "probability": 1.0, "method": "calendarList.list" }));
    let output = world.syncctl(&["calendar", "cron"]).expect(69);
    let last = output.stderr.lines().last().unwrap_or_default();
    // Where the answer is cut depends on its length.
    let position = regex::Regex::new(r"parsing an? \w+ at line \d+ column \d+").expect("a pattern");
    assert_snapshot!(position.replace_all(last, "parsing <what> at line <n> column <n>"));
}

#[test]
fn a_key_that_cannot_open_a_blob() {
    let world = World::with_users(1, 1);
    std::fs::remove_file(world.folder.path().join("seal.keys")).expect("losing the key");
    let without = world.syncctl(&["calendar", "cron"]).expect(78);
    assert_eq!(world.syncctl(&["calendar", "cron", "--dry-run", "--json"]).expect(78).json()["status"], "failed");
    // Another host may have the key: for it every stream is still due.
    assert_eq!(world.rows("streams WHERE failures > 0 OR due_at > now()"), 0);
    world.syncctl(&["accounts", "rekey", "--new-key"]);
    let other = world.syncctl(&["calendar", "cron"]).expect(78);
    assert_eq!(world.rows("streams WHERE failures > 0 OR due_at > now()"), 0);
    let last = |text: &str| steady(&world, text.lines().last().unwrap_or_default());
    assert_snapshot!(format!("{}\n{}", last(&without.stderr), last(&other.stderr)));
}

#[test]
fn broken_import_lines() {
    let world = World::empty();
    let lines = [
        r#"{"email":"#,
        r#"{"email":"ann"}"#,
        r#"{"email":"ann","credentials":{"type":"authorized_user"}}"#,
        r#"{"email":"ann@example.com","credentials":{"type":"password"}}"#,
        r#"{"email":"ann@example.com","credentials":{"type":"authorized_user","client_id":"1"}}"#,
        r#"{"email":"ann@example.com","credentials":{"type":"service_account","client_email":"s@p"}}"#,
        r#"{"email":"ann@example.com","credentials":{"type":"authorized_user","client_id":"1","client_secret":"2","refresh_token":"3","token_uri":"ftp://x"}}"#,
        r#"{"email":"ann@example.com","colour":"blue","credentials":{}}"#,
        r#"{"email":"ann@example.com","credentials":{},"settings":{"attendee":"yes"}}"#,
        r#"{"email":"ann@example.com","credentials":{},"settings":{"attendee_project":1}}"#,
    ];
    let output = world.syncctl_with_input(&["accounts", "import", "-"], &lines.join("\n")).expect(1);
    assert_snapshot!(output.stderr);
}

#[test]
fn arguments_that_make_no_sense() {
    let world = World::empty();
    world.syncctl(&["calendar"]).expect(2);
    world.syncctl(&["calendar", "cron", "--max-duration", "soon"]).expect(2);
    world.syncctl(&["items", "retry", "12345"]).expect(2);
    let wrong = world.syncctl(&["documents", "show", "abc"]).expect(2);
    assert!(wrong.stderr.contains("not an id: give a UUID"), "{}", wrong.stderr);
    let help = world.syncctl(&["--help"]).expect(0).stdout;
    assert!(help.contains("75  another run holds the job"), "{help}");
}

#[test]
fn a_database_that_cannot_be_reached_or_refuses() {
    use crate::support::{pgbouncer, tls};
    let server = tls::server();
    let mut world = World::empty();
    let right = server.url_verify_full();
    let cases = [
        (format!("postgres://nobody@127.0.0.1:{}/nowhere", pgbouncer::free_port()), 69),
        (right.replace(&right[right.find("//").expect("a URL") + 2..right.find('@').expect("a URL")], "tess:wrong"), 77),
        (server.url("localhost", "verify-full", Some(&server.other_ca())), 69),
        (server.url("127.0.0.1", "verify-full", Some(&server.ca())), 69),
        ("postgres://localhost/x?sslmode=perhaps".into(), 78),
    ];
    let mut messages = String::new();
    for (url, code) in cases {
        world.url = url;
        let said = said(&world, &["calendar", "cron"], code);
        assert!(!said.contains("wrong@") && !said.contains(tls::PASSWORD), "a password was printed: {said}");
        messages.push_str(&said);
    }
    let steady =
        regex::Regex::new(r"(localhost|127\.0\.0\.1):\d+").expect("a pattern").replace_all(&messages, "$1:<port>").into_owned();
    assert_snapshot!(steady);
}
