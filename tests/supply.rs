//! The supply chain of the binary: its bill of materials, and the audit against advisories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn script(name: &str) -> Command {
    Command::new(Path::new(ROOT).join("scripts").join(name))
}

#[test]
fn the_bill_of_materials_has_every_crate_of_the_binary_with_licence_and_checksum_and_none_of_the_tests() {
    let binary = tempfile::NamedTempFile::new().expect("a file");
    let made = script("sbom").arg(binary.path()).env("SOURCE_DATE_EPOCH", "0").output().expect("the script starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bill: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    // SHA-256 of the empty file.
    let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], sum);
    let components = bill["components"].as_array().expect("a list");
    let named: BTreeMap<&str, &Value> = components.iter().filter_map(|one| Some((one["name"].as_str()?, one))).collect();
    for name in ["tokio-postgres", "rustls", "mail-parser", "serde", "ring", "libc"] {
        assert!(named.contains_key(name), "{name} is missing");
    }
    for name in ["proptest", "insta", "google-sim", "ureq"] {
        assert!(!named.contains_key(name), "{name} is for tests only");
    }
    for (name, one) in &named {
        let has = |pointer: &str| one.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        assert!(has("/licenses/0/expression") && has("/hashes/0/content") && has("/purl"), "{name}: {one}");
    }
    let refs: BTreeSet<Option<&str>> =
        components.iter().chain([&bill["metadata"]["component"]]).map(|one| one["bom-ref"].as_str()).collect();
    let edges = bill["dependencies"].as_array().expect("a list");
    assert_eq!(edges.len(), refs.len());
    for needed in edges.iter().flat_map(|edge| edge["dependsOn"].as_array().expect("a list")) {
        assert!(refs.contains(&needed.as_str()), "{needed} is needed and not listed");
    }
    assert!(!String::from_utf8_lossy(&made.stdout).contains(ROOT), "it names the folder in which it was built");
}

/// The audit with only these tools, including a script in place of cargo-deny.
fn audit(deny: Option<&str>, advisories: Option<&Path>) -> Output {
    let tools = tempfile::tempdir().expect("a folder");
    for tool in ["bash", "cp", "cut", "dirname", "git", "grep", "mkdir", "mktemp", "rm", "sed", "sort", "tail"] {
        let program = std::env::split_paths(&std::env::var_os("PATH").expect("PATH"))
            .map(|folder| folder.join(tool))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(program.unwrap_or_else(|| panic!("{tool} is not on PATH")), tools.path().join(tool))
            .expect("a link");
    }
    if let Some(deny) = deny {
        for name in ["cargo", "cargo-deny"] {
            let path = tools.path().join(name);
            fs::write(&path, format!("#!/usr/bin/env bash\n{deny}\n")).expect("a script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable");
        }
    }
    let mut command = script("audit");
    // No test accesses the network, whatever fails.
    command.env_clear().env("PATH", tools.path()).env("HOME", tools.path()).env("GIT_ALLOW_PROTOCOL", "file");
    if let Some(folder) = advisories {
        command.env("ADVISORY_DB", folder);
    }
    command.output().expect("the script starts")
}

#[track_caller]
fn assert_ends(audit: &Output, code: i32, said: &str) {
    let text = [audit.stdout.as_slice(), &audit.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(audit.status.code() == Some(code) && text.contains(said), "{:?}: {text}", audit.status);
}

#[test]
fn an_audit_that_cannot_run_is_reported_and_is_no_success() {
    let empty = tempfile::tempdir().expect("a folder");
    assert_ends(&audit(None, Some(empty.path())), 3, "NOT AUDITED: cargo-deny is not installed");
    assert_ends(&audit(Some("exit 0"), Some(empty.path())), 3, "has no folder crates");
    assert_ends(&audit(Some("exit 0"), None), 3, "NOT AUDITED: set ADVISORY_DB to a copy");
}

#[test]
fn an_audit_reads_the_named_copy_and_reports_findings() {
    let copy = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(copy.path().join("crates/x")).expect("a folder");
    fs::write(copy.path().join("crates/x/RUSTSEC-2026-0001.md"), "```toml\ndate = \"2026-11-01\"\n```\n").expect("an advisory");
    // Like cargo-deny: git fetches the advisories from their URL into the configured folder.
    let fetch = r#"for word; do case $word in *.toml) settings=$word ;; esac; done
case " $* " in *" fetch "*)
    folder=$(sed -n 's/^db-path = "\(.*\)"/\1/p' "$settings")
    git clone --quiet https://github.com/RustSec/advisory-db "$folder/copy" && [ -f "$folder/copy/crates/x/RUSTSEC-2026-0001.md" ] ;;
"#;
    let exits_with = |code: u8| format!("{fetch}*) exit {code} ;; esac");
    assert_ends(&audit(Some(&exits_with(0)), Some(copy.path())), 0, "against the advisories up to 2026-11-01");
    assert_ends(&audit(Some(&exits_with(1)), Some(copy.path())), 1, "");
}
