//! Checks for settings that are valid but suspicious, and for secret files that others can read.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use url::Url;

use super::Findings;
use crate::commands::stale_settings;
use crate::config::{Loaded, Origin, Settings, duration};
use crate::db::Pool;
use crate::db::pool::DatabaseLocation;

const CHECK: &str = "settings";
/// Shown in place of a secret.
const MASK: &str = "***";

pub fn check(loaded: &Loaded, location: Option<&DatabaseLocation>, findings: &mut Findings) {
    let set = loaded.shown.iter().filter(|(_, _, origin)| *origin != Origin::Default);
    let files: BTreeSet<&Path> = set.clone().filter_map(|(_, _, origin)| file_of(origin)).collect();
    let from: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let from = if from.is_empty() { "no file".into() } else { from.join(", ") };
    findings.ok(CHECK, format!("{from}; {} settings are not the default", set.count()));
    let suspicious = suspicious(&loaded.settings);
    for (key, why) in &suspicious {
        findings.warn(
            CHECK,
            format!("{key}: {why}"),
            "change it unless that is intended (`syncctl config show` shows where it is set)",
        );
    }
    secret_files(loaded, location, findings);
}

/// Reports settings changed since the last pass, so that stored data differs from what a pass would store now.
pub async fn since_last_pass(pool: &Pool, settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    for changed in stale_settings::changed(pool, settings).await? {
        findings.warn(CHECK, format!("{} is {}, and {}", changed.key, changed.now, changed.text()), changed.remedy());
    }
    Ok(())
}

/// Returns settings with allowed but probably unintended values: key and reason.
fn suspicious(settings: &Settings) -> Vec<(&'static str, String)> {
    let (engine, push) = (&settings.engine, &settings.push);
    let minutes = duration::text;
    let services = [settings.calendar.enabled, settings.drive.enabled, settings.gmail.enabled];
    let is_plain = |url: &str| Url::parse(url).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url));
    let plain_target = settings.outbox.targets.iter().find(|target| is_plain(&target.url));
    let conditions = [
        (
            !services.contains(&true),
            "calendar.enabled, drive.enabled, gmail.enabled",
            "all are false: nothing is synced".to_owned(),
        ),
        (!settings.google.root.is_empty(), "google.root", "Google's own hosts are not called: this is for tests".to_owned()),
        (
            is_plain(&settings.attendee.root),
            "attendee.root",
            "plain http: keys and transcripts cross the network unprotected".to_owned(),
        ),
        (
            !(Duration::from_secs(10)..=Duration::from_secs(900)).contains(&engine.lease),
            "engine.lease",
            format!(
                "{}: a short lease expires on a slow database, a long one blocks the streams of a dead run",
                minutes(engine.lease)
            ),
        ),
        (
            settings.db.pool_size > 50,
            "db.pool_size",
            format!("{} connections per run: most servers allow 100", settings.db.pool_size),
        ),
        (
            engine.concurrency > 200,
            "engine.concurrency",
            format!("{} concurrent requests: Google answers some of them with 429", engine.concurrency),
        ),
        (
            push.renew_within >= push.life,
            "push.renew_within",
            "not less than push.life: every run replaces every channel".to_owned(),
        ),
        (
            Url::parse(&push.address).is_ok_and(|url| is_loopback(&url)),
            "push.address",
            "a loopback address: Google cannot reach it".to_owned(),
        ),
        (
            plain_target.is_some(),
            "outbox.targets",
            format!("{:?} gets events over plain http", plain_target.map_or("", |target| target.name.as_str())),
        ),
    ];
    conditions.into_iter().filter(|(holds, ..)| *holds).map(|(_, key, why)| (key, why)).collect()
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn secret_files(loaded: &Loaded, location: Option<&DatabaseLocation>, findings: &mut Findings) {
    let url = loaded.settings.db.url.expose_secret();
    let has_password = location.is_some_and(|location| location.target.config().get_password().is_some()) && !url.is_empty();
    // A URL is masked whether or not it contains a password.
    let secrets = loaded.shown.iter().filter(|(key, value, _)| value.contains(MASK) && (key != "db.url" || has_password));
    let files: BTreeSet<&Path> = secrets.filter_map(|(_, _, origin)| file_of(origin)).collect();
    for file in files {
        others_may_read(CHECK, file, "holds secrets", findings);
    }
}

/// Reports a file that users other than its owner and group can read. Returns whether they can.
pub(super) fn others_may_read(check: &'static str, file: &Path, what: &str, findings: &mut Findings) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(mode) = std::fs::metadata(file).map(|metadata| metadata.permissions().mode() & 0o777) else { return false };
    let open = mode & 0o007 != 0;
    if open {
        let file = file.display();
        findings.fail(
            check,
            format!("{file} {what}, and every user of this machine can read it (mode {mode:04o})"),
            format!("chmod 600 {file}"),
        );
    }
    open
}

fn file_of(origin: &Origin) -> Option<&Path> {
    match origin {
        Origin::File { path, .. } | Origin::Credential(path) | Origin::Store(path) => Some(path),
        Origin::Default | Origin::Variable(_) | Origin::Flag => None,
    }
}
