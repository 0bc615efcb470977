//! The alerts in `prometheus/`: with promtool, and with a real Prometheus that scrapes a real node_exporter, set up as in docs/watching.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;

use crate::support::World;
use crate::support::pgbouncer::free_port;
use crate::support::postgres::watchdog::Watchdog;
use crate::support::receiver::Receiver;

const RULES: &str = include_str!("../../prometheus/syncctl.rules.yml");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Timeout of a test.
const PATIENCE: Duration = Duration::from_secs(300);

/// The first of these names that is an installed program.
fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::env::split_paths(&path).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    programs
        .into_iter()
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{names:?} (scripts/ensure-prometheus installs it)"))
}

/// A server that ends with the value, or with the test process.
struct Server(Child);

impl Server {
    fn start(folder: &Path, names: &[&str], arguments: &[String]) -> Self {
        let mut command = Command::new(program(names));
        let process =
            command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = process.spawn().unwrap_or_else(|error| panic!("{names:?}: {error}"));
        fs::write(folder.join(format!("{}.pid", process.id())), process.id().to_string()).expect("a pid file");
        Self(process)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Prometheus with the shipped alerts, without their waiting times, over a node_exporter that reads `textfiles`; alerts go to `receiver`.
fn watch(folder: &Path, textfiles: &Path, receiver: &Receiver) -> [Server; 2] {
    let at_once = Regex::new(r"(?m)^(\s+for:) \d+[mh]$").expect("a pattern");
    fs::write(folder.join("syncctl.rules.yml"), at_once.replace_all(RULES, "$1 1s").as_bytes()).expect("rules");
    let (exporter, prometheus) = (free_port(), free_port());
    let settings = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [syncctl.rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]}}
scrape_configs: [{{job_name: node, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}]
",
        receiver.port
    );
    fs::write(folder.join("prometheus.yml"), settings).expect("settings");
    let exporter = [
        format!("--web.listen-address=127.0.0.1:{exporter}"),
        "--collector.disable-defaults".into(),
        "--collector.textfile".into(),
        format!("--collector.textfile.directory={}", textfiles.display()),
    ];
    let prometheus = [
        "--config.file=prometheus.yml".into(),
        "--storage.tsdb.path=data".into(),
        // Otherwise an alert that fires before its receiver is known would be sent a minute later.
        "--rules.alert.resend-delay=1s".into(),
        format!("--web.listen-address=127.0.0.1:{prometheus}"),
    ];
    [
        Server::start(folder, &["prometheus-node-exporter", "node_exporter"], &exporter),
        Server::start(folder, &["prometheus"], &prometheus),
    ]
}

/// Waits for an alert of this name; returns its labels. Others arrive every second, and must not extend the wait forever.
fn alert(receiver: &Receiver, name: &str) -> Value {
    let (begun, mut others) = (Instant::now(), BTreeSet::new());
    for seen in 0.. {
        receiver.wait_for(seen + 1);
        let Value::Array(alerts) = receiver.requests()[seen].json() else { panic!("no alerts") };
        for alert in alerts {
            if alert["labels"]["alertname"] == name {
                return alert["labels"].clone();
            }
            others.insert(alert["labels"].to_string());
        }
        assert!(begun.elapsed() < PATIENCE, "no {name} among {others:#?}");
    }
    unreachable!("it waits until one comes")
}

#[test]
fn each_alarm_fires_when_it_should() {
    for arguments in [["check", "rules", "prometheus/syncctl.rules.yml"], ["test", "rules", "tests/prometheus/rules.test.yml"]] {
        let result = Command::new(program(&["promtool"])).args(arguments).current_dir(ROOT).output().expect("promtool starts");
        assert!(
            result.status.success(),
            "{}{}",
            String::from_utf8_lossy(&result.stdout),
            String::from_utf8_lossy(&result.stderr)
        );
    }
}

#[test]
fn a_job_that_does_not_succeed_is_an_alarm_in_a_real_prometheus_and_so_is_a_file_that_is_gone() {
    let world = World::with_users(1, 1);
    world.sync_all().expect(0);
    world.execute("UPDATE runs SET started_at = started_at - interval '1 hour', ended_at = ended_at - interval '1 hour'");
    let folder = tempfile::Builder::new().prefix("syncctl-test-").tempdir().expect("a folder").keep();
    let _watchdog = Watchdog::over(&folder, &folder);
    let textfiles = folder.join("textfiles");
    fs::create_dir(&textfiles).expect("a folder");
    let file = textfiles.join("syncctl.prom");
    world.syncctl(&["metrics", "--textfile", &file.display().to_string()]).expect(0);

    let receiver = Receiver::start();
    let _servers = watch(&folder, &textfiles, &receiver);
    let labels = alert(&receiver, "SyncctlNoSuccess");
    // Prometheus's name for the scrape job is a separate label from our job's.
    assert_eq!((&labels["syncctl_job"], &labels["job"]), (&"calendar cron".into(), &"node".into()), "{labels}");
    fs::remove_file(&file).expect("removed");
    alert(&receiver, "SyncctlMetricsMissing");
}
