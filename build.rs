//! Gives the binary the line of `syncctl --version`: version, commit and target. Nothing in it depends on time, user or folder, so that builds are reproducible.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_COMMIT");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let parts = [commit(), Some(variable("TARGET"))];
    let origin = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    // Cargo sets it for tests, too, in which a variable that begins with SYNCCTL_ would be taken for a setting.
    println!("cargo::rustc-env=LONG_VERSION_OF_SYNCCTL={} ({origin})", variable("CARGO_PKG_VERSION"));
}

/// The commit that is built: that of the checkout, or `SOURCE_COMMIT`, for archives of the source. Debug builds have none of a checkout, because each commit
/// would compile everything again.
fn commit() -> Option<String> {
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let of_checkout = if is_release { of_checkout() } else { None };
    let commit = of_checkout.or_else(|| env::var("SOURCE_COMMIT").ok())?;
    let is_commit = (7..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| commit[..commit.len().min(12)].to_owned())
}

/// `None` without git, or in an archive, even if that was unpacked in a checkout of something else.
fn of_checkout() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // Written by every commit and checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
