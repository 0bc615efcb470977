//! Doctor and external dependencies: scopes and APIs at Google, and the address for Google's notifications.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::{doctor, synced};
use crate::support::World;
use crate::support::pgbouncer::free_port;
use crate::support::service::ATTENDEE;

#[test]
fn a_missing_scope_and_a_disabled_api_are_distinguished() {
    let world = synced(2);
    for user in world.sim.users() {
        world.sim.admin("scopes", json!({ "user": user, "scopes": ["https://www.googleapis.com/auth/calendar.readonly"] }));
    }
    let report = doctor(&world, &[]);
    assert_eq!(report.code, 1);
    report.has("fail", "gmail: scope_missing for 1").has("fail", "drive: scope_missing").has("ok", "calendar answer");
    doctor(&world, &["--all-users"]).has("fail", "gmail: scope_missing for 2");
    world.sim.admin("api", json!({ "enabled": false }));
    doctor(&world, &[]).has("fail", "calendar: api_disabled");
}

#[test]
fn a_revoked_grant_is_reported_though_a_token_is_still_valid() {
    let world = synced(1);
    let user = world.first_user();
    world.sim.admin("revoke", json!({ "user": user }));
    doctor(&world, &[]).has("fail", "token: auth_revoked");
    assert_eq!(world.accounts_in("revoked"), 0, "a check changes nothing");
    world.execute("UPDATE accounts SET state = 'revoked', ask_at = now() + interval '1 day'");
    doctor(&world, &[]).has("fail", "1 of 1 accounts are refused");
}

#[test]
fn a_key_that_attendee_refuses_is_reported() {
    let world = World::of(&ATTENDEE, 1, 0);
    doctor(&world, &[]).has("ok", "Attendee accepts the key of project main");
    world.sim.admin("attendee/projects", json!({ "name": "main", "key": "another key" }));
    doctor(&world, &[]).has("fail", "Attendee, project main: ");
}

#[test]
fn a_google_that_cannot_be_reached_is_reported() {
    let mut world = synced(1);
    world.set("SYNCCTL_GOOGLE_ROOT", format!("http://127.0.0.1:{}", free_port()));
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    doctor(&world, &[]).has("fail", "google: asking Google for the time: could not connect").has("ok", "schema: version");
}

#[test]
fn offline_calls_no_one() {
    let world = synced(1);
    world.sim.reset_ledger();
    let report = doctor(&world, &["--offline"]);
    assert_eq!(report.code, 0, "{:?}", report.lines("fail"));
    assert_eq!(world.sim.ledger()["by_method"], json!({}));
}

/// `syncctl webhook serve`, stopped when dropped.
struct Serving(Child, String);

impl Serving {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut child = world.spawn(&[&["webhook", "serve", "--listen", "127.0.0.1:0"], arguments].concat());
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("listening on ").expect("an address").replace("127.0.0.1", "localhost");
        Self(child, url)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_push_address_that_another_program_answers_is_reported() {
    let mut world = synced(1);
    let serving = Serving::start(&world, &[]);
    world.set("SYNCCTL_PUSH_ADDRESS", serving.1.clone());
    doctor(&world, &[])
        .has("ok", "webhook: `syncctl webhook serve` answers there and is healthy")
        .has("warn", "push.address is set, but there are no channels");
    // The tests' receiver answers everything with 200.
    let sink = format!("{}/sink/other", world.sim.url);
    doctor(&world, &["--set", &format!("push.address={sink}")])
        .has("fail", "a server that is not `syncctl webhook serve` answers there with HTTP 200");
    let nobody = format!("push.address=http://127.0.0.1:{}", free_port());
    doctor(&world, &["--set", &nobody]).has("fail", "webhook: POST calendar: could not connect");
    doctor(&world, &["--set", "push.address=https://sync.invalid/google"]).has("fail", "sync.invalid does not resolve");
}

#[test]
fn a_certificate_that_expires_soon_or_is_untrusted_is_reported() {
    let mut world = synced(1);
    let folder = world.folder.path().to_owned();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("writing");
        path.display().to_string()
    };
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let roots = write("ca.pem", &params.self_signed(&key).expect("a certificate").pem());
    let authority = Issuer::new(params, key);
    let serve = |world: &World, days: u64| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        // Half a day more, so that midnight does not reduce the number of days.
        params.not_after = (SystemTime::now() + Duration::from_secs(days * 86_400 + 43_200)).into();
        let key = KeyPair::generate().expect("a key");
        let certificate = write("cert.pem", &params.signed_by(&key, &authority).expect("a certificate").pem());
        Serving::start(world, &["--tls-cert", &certificate, "--tls-key", &write("key.pem", &key.serialize_pem())])
    };
    let serving = serve(&world, 8);
    let address = format!("push.address={}", serving.1);
    doctor(&world, &["--set", &address]).has("fail", "push TLS: localhost:");
    world.set("SSL_CERT_FILE", roots);
    doctor(&world, &["--set", &address]).has("warn", "push TLS: the certificate is valid for 8 days").has("ok", "webhook: ");
    let serving = serve(&world, 89);
    let address = format!("push.address={}", serving.1);
    doctor(&world, &["--set", &address]).has("ok", "push TLS: the certificate is valid for 89 days");
}
