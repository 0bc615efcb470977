//! Settings: their layers, their sources, and messages about bad ones.

use crate::support::World;

fn shown(world: &World, key: &str, extra: &[&str]) -> (String, String) {
    let mut arguments = vec!["config", "show", "--json"];
    arguments.extend(extra);
    let rows = world.syncctl(&arguments).expect(0).json();
    let row = rows.as_array().expect("a list").iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key}")).clone();
    (row["value"].as_str().expect("a value").to_owned(), row["from"].as_str().expect("an origin").to_owned())
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let mut world = World::empty();
    let key = "calendar.page_size";
    assert_eq!(shown(&world, key, &[]), ("2500".into(), "default".into()));
    let file = world.folder.path().join("settings.toml");
    std::fs::write(&file, "# a comment\n[calendar]\npage_size = 100\n").expect("writing");
    let file = file.display().to_string();
    assert_eq!(shown(&world, key, &["--config", &file]), ("100".into(), format!("{file}:3")));
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "200");
    assert_eq!(shown(&world, key, &["--config", &file]), ("200".into(), "$SYNCCTL_CALENDAR_PAGE_SIZE".into()));
    assert_eq!(shown(&world, key, &["--config", &file, "--set", "calendar.page_size=300"]), ("300".into(), "flag".into()));
}

#[test]
fn the_file_in_the_configuration_folder_is_found() {
    let mut world = World::empty();
    let folder = world.folder.path().join("xdg/syncctl");
    std::fs::create_dir_all(&folder).expect("making the folder");
    std::fs::write(folder.join("syncctl.toml"), "log.level = \"info\"\n").expect("writing");
    world.set("XDG_CONFIG_HOME", world.folder.path().join("xdg").display().to_string());
    let (value, from) = shown(&world, "log.level", &[]);
    assert_eq!(value, "\"info\"");
    assert!(from.ends_with("syncctl.toml:1"), "{from}");
}

#[test]
fn secrets_come_from_credentials_and_files_and_are_never_shown() {
    let mut world = World::empty();
    let credentials = world.folder.path().join("credentials");
    std::fs::create_dir_all(&credentials).expect("making the folder");
    std::fs::write(credentials.join("db_password"), "hunter2\n").expect("writing");
    world.set("CREDENTIALS_DIRECTORY", credentials.display().to_string());
    let (value, from) = shown(&world, "db.password", &[]);
    assert_eq!(value, "***");
    assert!(from.ends_with("credentials/db_password"), "{from}");
    let file = world.folder.path().join("password");
    std::fs::write(&file, "hunter3\n").expect("writing");
    world.set("SYNCCTL_DB_PASSWORD_FILE", file.display().to_string());
    assert_eq!(shown(&world, "db.password", &[]), ("***".into(), file.display().to_string()));
    assert_eq!(shown(&world, "db.url", &[]).0, "***");
}

#[test]
fn a_value_that_cannot_be_used_is_refused_with_its_place_and_what_is_allowed() {
    let world = World::empty();
    for (key, value, allowed) in [
        // A word that is not a level would be parsed as a module name, and nothing would be logged.
        ("log.level", "warning", "must be error, warn, info"),
        ("log.level", "syncctl=loud", "must be error, warn, info"),
        ("google.root", "accounts.google.com", "must be an origin such as"),
    ] {
        let refused = world.syncctl(&["status", "--set", &format!("{key}={value}")]).expect(78);
        assert!(refused.stderr.contains(&format!("flag: {key} = {value:?}: {allowed}")), "{}", refused.stderr);
    }
    for good in ["off", "INFO", "syncctl=debug", "warn,syncctl::engine=trace", "info/polled"] {
        let set = format!("log.level={good}");
        world.syncctl(&["config", "show", "--set", &set]).expect(0);
    }
}

#[test]
fn a_default_is_shown_as_the_documentation_has_it() {
    let world = World::empty();
    assert_eq!(shown(&world, "retention.runs", &[]), ("\"90days\"".into(), "default".into()));
    assert_eq!(shown(&world, "calendar.window_future", &[]).0, "\"440days\"");
}

#[test]
fn a_disabled_service_is_not_synced_by_its_own_commands_either() {
    let world = World::with_users(1, 1);
    for service in ["calendar", "drive", "gmail"] {
        let off = format!("{service}.enabled=false");
        for verb in ["cron", "renew-watches"] {
            let refused = world.syncctl(&[service, verb, "--set", &off]).expect(78);
            assert!(refused.stderr.contains(&format!("{service}.enabled is false")), "{}", refused.stderr);
        }
        world.syncctl(&[service, "metrics", "--set", &off]).expect(0);
    }
    assert_eq!(world.runs(), 0);
}

#[test]
fn variables_of_a_kubernetes_service_are_ignored_and_others_like_them_are_errors() {
    let world = World::empty();
    // Of the Services syncctl (with a named port) and syncctl-db, as a pod of their namespace gets them.
    let services = [
        ("SYNCCTL_SERVICE_HOST", "10.96.3.7"),
        ("SYNCCTL_SERVICE_PORT", "80"),
        ("SYNCCTL_SERVICE_PORT_WEBHOOK", "80"),
        ("SYNCCTL_PORT", "tcp://10.96.3.7:80"),
        ("SYNCCTL_PORT_80_TCP", "tcp://10.96.3.7:80"),
        ("SYNCCTL_PORT_80_TCP_PROTO", "tcp"),
        ("SYNCCTL_PORT_80_TCP_PORT", "80"),
        ("SYNCCTL_PORT_80_TCP_ADDR", "10.96.3.7"),
        ("SYNCCTL_DB_SERVICE_HOST", "fd00:10:96::1"),
        ("SYNCCTL_DB_SERVICE_PORT", "5432"),
        ("SYNCCTL_DB_PORT", "tcp://[fd00:10:96::1]:5432"),
        ("SYNCCTL_DB_PORT_5432_TCP", "tcp://[fd00:10:96::1]:5432"),
    ];
    let shown = |variables: &[(&str, &str)]| {
        let mut command = world.command(&["config", "show", "--json"]);
        command.envs(variables.iter().copied()).output().expect("the binary starts")
    };
    let with = shown(&services);
    assert_eq!((with.status.code(), with.stdout), (Some(0), shown(&[]).stdout), "{}", String::from_utf8_lossy(&with.stderr));
    for wrong in [
        ("SYNCCTL_PORT", "80"),
        ("SYNCCTL_PORT_80_TCP", "http://10.96.3.7:80"),
        ("SYNCCTL_PORT_80_TCP_PORT", "81"),
        ("SYNCCTL_SERVICE", "10.96.3.7"),
        ("SYNCCTL_DB_SERVICE_NAME", "10.96.3.7"),
        ("SYNCCTL_DB_POOLSIZE", "4"),
        // Without the address of a Service.
        ("SYNCCTL_WEBHOOK_PORT", "tcp://10.96.3.7:80"),
    ] {
        let refused = shown(&[&services[..], &[wrong]].concat());
        let message = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{wrong:?}: {message}");
        assert!(message.contains(&format!("${}: no such setting", wrong.0)), "{wrong:?}: {message}");
    }
}
