//! Answers that unpack to a gigabyte: from no server is more read than the limit.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::receiver::{Receiver, Reply};
use crate::webhook::server::Server;

/// Bytes before the first block of a gzip stream without a name.
const GZIP_HEAD: usize = 10;
/// Unpacked size of an answer in mebibytes.
const UNPACKED: usize = 1 << 10;
/// Maximum memory of a process that gets such an answer, in KiB: its base need, plus the largest allowed page.
const MAX_KIB: u64 = 120 << 10;
const MAX_PAGE: &str = "4000000";

/// Answers every request with a compressed gigabyte of blanks; `but`: with this instead if the path has this suffix.
fn bomb(but: Option<(&'static str, Value)>) -> Receiver {
    let mut one = GzEncoder::new(Vec::new(), Compression::best());
    one.write_all(&vec![b' '; 1 << 20]).and_then(|()| one.flush()).expect("packing");
    let (head, block) = one.get_ref().split_at(GZIP_HEAD);
    // The same block repeated, and an empty last one; the checksum is never reached.
    let packed: Arc<[u8]> = [head, &block.repeat(UNPACKED), &[3, 0], &[0; 8]].concat().into();
    let receiver = Receiver::start();
    receiver.answer(move |request| {
        let kind = ("content-type", "application/json".to_owned());
        match &but {
            Some((path, answer)) if request.path.ends_with(path) => Reply::Full(200, vec![kind], answer.to_string()),
            _ => Reply::Bytes(200, vec![kind, ("content-encoding", "gzip".into())], Arc::clone(&packed)),
        }
    });
    receiver
}

fn origin(receiver: &Receiver) -> String {
    format!("http://127.0.0.1:{}", receiver.port)
}

/// A user whose tokens come from the default Google host.
fn user_without_a_token_address(world: &World) {
    let credentials = json!({ "type": "authorized_user", "client_id": "1-a", "client_secret": "s", "refresh_token": "r" });
    let line = json!({ "email": "ann@example.com", "credentials": credentials }).to_string();
    world.syncctl_with_input(&["accounts", "import", "-"], &line).expect(0);
}

fn allow_small_pages(world: &mut World) {
    world.set("SYNCCTL_GMAIL_WHOLE_MAX_SIZE", "2000000");
    world.set("SYNCCTL_ENGINE_ANSWER_MAX_SIZE", MAX_PAGE);
}

#[track_caller]
fn fails_with_little_memory(world: &World, job: &[&str], class: &str, says: &str) {
    let run = world.syncctl(job);
    assert!([1, 69].contains(&run.code), "{run:#?}");
    let report = run.json();
    let example = report["errors"][class]["example"].as_str().unwrap_or_else(|| panic!("no {class}: {report}"));
    assert!(example.contains(says), "{example}");
    assert!(report["peak_rss_kib"].as_u64().is_some_and(|kib| kib < MAX_KIB), "{report}");
}

const CALENDAR: [&str; 3] = ["calendar", "cron", "--json"];

#[test]
fn a_token_endpoint_is_read_for_64_kib() {
    let mut world = World::empty();
    user_without_a_token_address(&world);
    let receiver = bomb(None);
    world.set("SYNCCTL_GOOGLE_ROOT", origin(&receiver));
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    fails_with_little_memory(&world, &CALENDAR, "transient", "token: the response is larger than 65536 bytes");
    // The grant was not judged.
    assert_eq!(world.accounts_in("active"), 1);
}

#[test]
fn a_page_is_read_for_what_the_setting_allows() {
    let mut world = World::empty();
    user_without_a_token_address(&world);
    let receiver = bomb(Some(("/token", json!({ "access_token": "t", "expires_in": 3600, "token_type": "Bearer" }))));
    world.set("SYNCCTL_GOOGLE_ROOT", origin(&receiver));
    allow_small_pages(&mut world);
    fails_with_little_memory(&world, &CALENDAR, "permanent", "larger than 4000000 bytes, see engine.answer_max_size");
}

#[test]
fn a_page_of_attendee_is_read_for_what_the_setting_allows() {
    let mut world = World::with_attendee(1);
    let user = world.first_user();
    world.meet(&user, "m", 1);
    world.schedule().expect(0);
    let receiver = bomb(None);
    world.set("SYNCCTL_ATTENDEE_ROOT", origin(&receiver));
    allow_small_pages(&mut world);
    let job = ["attendee", "cron", "--force", "--json"];
    fails_with_little_memory(&world, &job, "permanent", "engine.answer_max_size");
}

#[test]
fn a_set_of_keys_is_read_for_64_kib() {
    let mut world = World::empty();
    let receiver = bomb(None);
    world.set("SYNCCTL_WEBHOOK_OIDC_AUDIENCE", "https://hooks.example.org/gmail");
    world.set("SYNCCTL_WEBHOOK_OIDC_EMAIL", "push@acme.iam.gserviceaccount.com");
    world.set("SYNCCTL_WEBHOOK_KEYS_URL", receiver.url());
    let server = Server::start(&world, &[]);
    let head = data_encoding::BASE64URL_NOPAD.encode(json!({ "alg": "RS256", "kid": "k" }).to_string().as_bytes());
    let bearer = format!("Bearer {head}.e30.AAAA");
    let status = server.post("/gmail", &[("authorization", &bearer)], b"{}");
    assert!(status >= 500, "{status}");
    let said = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("a process");
    let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|line| line.split_whitespace().next());
    assert!(peak.and_then(|kib| kib.parse().ok()).is_some_and(|kib: u64| kib < MAX_KIB), "{peak:?} KiB");
    assert_eq!(receiver.requests().len(), 1);
    assert!(server.stop().success());
}
