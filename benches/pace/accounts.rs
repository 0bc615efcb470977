//! Cost of service account tokens relative to user tokens, with and without a proxy.

use std::time::Instant;

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::results::Results;
use crate::run::{Seen, run};
use crate::scale::scaled;
use crate::shared::figures::median;
use crate::support::proxy::{HOST, Proxy};
use crate::support::service::CALENDAR;

const ROUNDS: usize = 3;
/// Account lines of users, and of a service account that acts for them.
const PEOPLE: &str = "accounts";
const SERVICE: &str = "accounts?kind=service_account";

pub fn cpu() -> Results {
    let users = scaled(1_000);
    let mut results = Results::default();
    let straight = [
        ("tokens_of_people", PEOPLE, "tokens of people, straight"),
        ("tokens_of_service_account", SERVICE, "tokens of a service account, straight"),
    ]
    .map(|(name, kind, words)| {
        eprintln!("accounts: {users} users, {words} …");
        of(&mut results, name, kind, None)
    });
    let behind =
        [("tokens_of_people_behind_proxy", PEOPLE), ("tokens_of_service_account_behind_proxy", SERVICE)].map(|(name, kind)| {
            eprintln!("accounts: {users} users, {name} …");
            let ground = Ground::of(&CALENDAR);
            let proxy = Proxy::before(&ground.sim.url, ground.folder.path());
            let cpu = of(&mut results, name, kind, Some((ground, &proxy)));
            let tunnels = proxy.targets();
            if tunnels.is_empty() || tunnels.iter().any(|target| *target != format!("{HOST}:443")) {
                results.wrong.push(format!("{name}: not all went through tunnels to {HOST}: {tunnels:?}"));
            }
            eprintln!("{} tunnels", tunnels.len());
            cpu
        });
    let how = |[people, service]: [f64; 2]| {
        format!("{service:.2} s of CPU over {people:.2} s, {users} tokens each, median of {ROUNDS}")
    };
    results.add("service_account_cpu_over_refresh", straight[1] / straight[0], "<= 1.3", how(straight));
    results.add("service_account_cpu_over_refresh_behind_proxy", behind[1] / behind[0], "<= 1.3", how(behind));
    // Google requires RS256, once for each user: no client can avoid it.
    let signed = f64::from(users) * seconds_to_sign();
    let [people, service] = straight;
    let how = format!("{service:.2} s of CPU over {people:.2} s and {signed:.2} s for {users} signatures by ring");
    results.add("service_account_cpu_over_bound", service / (people + signed), "<= 1.15", how);
    results
}

/// Time for a signature of a service account.
fn seconds_to_sign() -> f64 {
    const SIGNATURES: u32 = 300;
    let ground = Ground::of(&CALENDAR);
    ground.sim.generate(1, 1);
    let line: Value = serde_json::from_str(ground.sim.text(SERVICE).lines().next().expect("an account")).expect("JSON");
    let pem = find(&line, "private_key").expect("a key");
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let pair = RsaKeyPair::from_pkcs8(key.secret_der()).expect("a key of RSA");
    let (random, mut signature) = (SystemRandom::new(), vec![0; pair.public().modulus_len()]);
    let began = Instant::now();
    for _ in 0..SIGNATURES {
        pair.sign(&RSA_PKCS1_SHA256, &random, b"claims", &mut signature).expect("a signature");
    }
    began.elapsed().as_secs_f64() / f64::from(SIGNATURES)
}

fn find<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    let object = value.as_object()?;
    object.get(key).and_then(Value::as_str).or_else(|| object.values().find_map(|value| find(value, key)))
}

/// Median CPU time of an idle pass in which every token has expired.
fn of(results: &mut Results, name: &'static str, kind: &str, proxied: Option<(Ground, &Proxy)>) -> f64 {
    let users = scaled(1_000);
    let (mut ground, proxy) = match proxied {
        Some((ground, proxy)) => (ground, Some(proxy)),
        None => (Ground::of(&CALENDAR), None),
    };
    ground.sim.generate(users, 1);
    let mut lines = ground.sim.text(kind);
    if let Some(proxy) = proxy {
        let origin = format!("https://{HOST}");
        lines = lines.replace(&ground.sim.url, &origin);
        ground.set("SYNCCTL_GOOGLE_ROOT", &origin);
        ground.set("SSL_CERT_FILE", proxy.ca.display().to_string());
        ground.set("HTTPS_PROXY", &proxy.url);
    }
    ground.syncctl_with_input(&["accounts", "import", "-"], &lines).expect(0);
    ground.bring_in_step();
    ground.slow();
    let mut rounds: Vec<Seen> = (0..ROUNDS).map(|_| round(&ground)).collect();
    for seen in &rounds {
        let tokens = &seen.ledger["oauth"]["granted"];
        if *tokens != json!(users) || seen.sum("idle_streams") != u64::from(users) {
            results.wrong.push(format!("{name}: {tokens} tokens and {} idle streams of {users}", seen.sum("idle_streams")));
        }
    }
    results.add_run(name, &rounds[0]);
    median(rounds.drain(..).map(|seen| seen.cpu).collect())
}

fn round(ground: &Ground) -> Seen {
    ground.execute("UPDATE accounts SET access_token = NULL, token_expires_at = NULL");
    ground.limit();
    ground.make_due("events");
    run(ground, ground.command(&["calendar", "cron", "--json"]))
}
