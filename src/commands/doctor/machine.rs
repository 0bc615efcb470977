//! Checks clocks and disk space.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};

use super::Findings;
use crate::config::Settings;
use crate::db::embedded::Cluster;
use crate::google::Host;
use crate::services::calendar;
use crate::{google, http};

const CLOCK: &str = "clock";
/// Clock skew above which leases and pace suffer.
const WARN_SKEW: TimeDelta = TimeDelta::seconds(30);
/// Clock skew above which Google refuses tokens signed by a service account.
const FAIL_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Compares our clock with another that read `theirs` at some moment between `before` and `after` on ours.
pub fn compare(findings: &mut Findings, whose: &str, theirs: DateTime<Utc>, before: DateTime<Utc>, after: DateTime<Utc>) {
    let ours = before + (after - before) / 2;
    let skew = theirs - ours;
    let seconds = skew.num_seconds();
    let side = if seconds > 0 { "behind" } else { "ahead of" };
    let message = format!("this machine's clock is {} s {side} {whose}", seconds.abs());
    let remedy = "keep the clocks in sync with chrony or systemd-timesyncd (`timedatectl set-ntp true`)";
    match skew.abs() {
        skew if skew > FAIL_SKEW => findings.fail(CLOCK, message, remedy),
        skew if skew > WARN_SKEW => findings.warn(CLOCK, message, remedy),
        _ => findings.ok(CLOCK, format!("within {} s of {whose}", seconds.abs() + 1)),
    }
}

/// Compares our clock with the date header of a response from Google. Error responses have it too.
pub async fn clock_at_google(
    settings: &Settings,
    http: &std::sync::Arc<http::Client>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let google = google::Client::new(&settings.google, std::sync::Arc::clone(http))?;
    let url = google.url(Host::Apis, &calendar::CALENDAR_LIST)?;
    let before = Utc::now();
    let answer = http.to(&url)?.get(url).send().await;
    let after = Utc::now();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let failure = http::transient("asking Google for the time", error);
            findings.fail(
                "google",
                failure.message,
                "check the network, any proxy or firewall (443 to googleapis.com), and this machine's certificates",
            );
            return Ok(());
        }
    };
    findings.ok("google", format!("{} answers", answer.url().host_str().unwrap_or("it")));
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).context("Google's answer has no date")?;
    let theirs = DateTime::parse_from_rfc2822(date).context("reading the date of Google's answer")?;
    // The header has whole seconds; add the half that is lost on average.
    compare(findings, "Google's", theirs.to_utc() + TimeDelta::milliseconds(500), before, after);
    Ok(())
}

/// Checks the disk space for the private cluster.
pub fn disk(cluster: &Cluster, findings: &mut Findings) -> anyhow::Result<()> {
    let folder = cluster.status()?.data_dir;
    let stat = rustix::fs::statvfs(&folder).with_context(|| format!("looking at the disk of {}", folder.display()))?;
    let (free, all) = (stat.f_bavail * stat.f_frsize, (stat.f_blocks * stat.f_frsize).max(1));
    check_space(&folder.display().to_string(), free, all, findings);
    Ok(())
}

fn check_space(folder: &str, free: u64, all: u64, findings: &mut Findings) {
    let message =
        format!("{:.1} GB of {:.1} GB are free on the private cluster's disk ({folder})", free as f64 / 1e9, all as f64 / 1e9);
    let remedy = "free disk space, or move the cluster (`syncctl db stop`, move the folder, set db.data_dir)";
    match free {
        free if free < 200_000_000 || free < all / 50 => findings.fail("disk", message, remedy),
        free if free < 1_000_000_000 || free < all / 20 => findings.warn("disk", message, remedy),
        _ => findings.ok("disk", message),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn level(check: impl FnOnce(&mut Findings)) -> Level {
        let mut findings = Findings::default();
        check(&mut findings);
        findings.0[0].level
    }

    #[test]
    fn a_clock_difference_is_quantified() {
        let now = Utc::now();
        for (seconds, expected) in [(0, Level::Ok), (29, Level::Ok), (-45, Level::Warn), (45, Level::Warn), (-400, Level::Fail)] {
            let theirs = now + TimeDelta::seconds(seconds);
            assert_eq!(level(|findings| compare(findings, "Google's", theirs, now, now)), expected, "{seconds} s");
        }
    }

    #[test]
    fn a_disk_is_reported_before_it_is_full() {
        for (free, expected) in [(50, Level::Ok), (4, Level::Warn), (1, Level::Fail)] {
            assert_eq!(
                level(|findings| check_space("/x", free * 1_000_000_000, 100_000_000_000, findings)),
                expected,
                "{free} %"
            );
        }
        assert_eq!(level(|findings| check_space("/x", 100_000_000, 1_000_000_000, findings)), Level::Fail);
    }
}
