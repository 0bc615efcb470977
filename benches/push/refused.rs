//! The answers to bad requests, while valid ones are sent and answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde_json::json;

use crate::server::{Server, google};
use crate::support::World;
use crate::support::service::CALENDAR;
use crate::watched::{Watched, watched};

const CONNECTIONS: usize = 200;
const GOOD_PER_SECOND: u32 = 500;
const GOOD: u32 = 30 * GOOD_PER_SECOND;
/// Number of requests of each kind that is answered immediately.
const TIMES: usize = 200;

#[derive(Serialize)]
struct Row {
    what: &'static str,
    sent: usize,
    /// The answer that all of them got.
    got: String,
    /// Time until the last one had it.
    seconds: f64,
    /// Whether it is the expected answer.
    right: bool,
}

#[derive(Serialize)]
pub struct Refused {
    rows: Vec<Row>,
    good_sent: u64,
    good_answered_200: u64,
    /// Not at the first attempt: they needed a connection while there were too many.
    good_sent_again: u64,
    good_p50_ms: f64,
    good_p99_ms: f64,
    good_max_ms: f64,
    /// Notifications in addition to the valid ones.
    stored_of_bad: i64,
}

impl Refused {
    /// Whether each got the expected answer, none of them was stored, and every valid request was answered.
    pub fn is_harmless(&self) -> bool {
        self.rows.iter().all(|row| row.right) && self.stored_of_bad == 0 && self.good_answered_200 == self.good_sent
    }

    pub fn text(&self) -> String {
        let mut text = format!("{:<52}{:>6}  {:<34}{:>9}\n", "bad request", "sent", "each gets", "took, s");
        for row in &self.rows {
            text.push_str(&format!("{:<52}{:>6}  {:<34}{:>9.2}\n", row.what, row.sent, row.got, row.seconds));
        }
        text.push_str(&format!(
            "meanwhile {} good ones came, {GOOD_PER_SECOND} a second: {} answered 200 ({} of them at a second try, for want of a \
             connection), p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms; of the bad ones {} were stored",
            self.good_sent,
            self.good_answered_200,
            self.good_sent_again,
            self.good_p50_ms,
            self.good_p99_ms,
            self.good_max_ms,
            self.stored_of_bad
        ));
        text
    }
}

/// All kinds in sequence; valid requests are sent during the first half minute.
pub fn refused() -> Refused {
    eprintln!("bad requests among good ones …");
    let settings = [
        ("SYNCCTL_WEBHOOK_MAX_CONNECTIONS", "200"),
        // "thirty-two bytes that both know."
        ("SYNCCTL_WEBHOOK_ATTENDEE_SECRET", "dGhpcnR5LXR3byBieXRlcyB0aGF0IGJvdGgga25vdy4="),
    ];
    let Watched { server, world } = watched(&CALENDAR, 5, &settings, &[]);
    let ids = world.query("SELECT id::text FROM channels WHERE state = 'live' ORDER BY stream_id");
    let channel = |nth: usize| ids[nth].get::<_, String>(0);
    world.execute(&format!("UPDATE channels SET expires_at = now() - interval '1 minute' WHERE id = '{}'", channel(1)));
    world.sim.admin("push/silence", json!({ "all": true, "on": true }));
    world.execute("TRUNCATE notifications");
    let (rows, good) = std::thread::scope(|scope| {
        let order =
            json!({ "channel": channel(0), "messages": GOOD, "per_second": GOOD_PER_SECOND, "connections": 16, "tries": 5 });
        let good = scope.spawn(|| world.sim.admin("push/flood", order));
        (rows(&server, &world, &channel(1), &channel(2)), good.join().expect("the good ones"))
    });
    let figure = |name: &str| good[name].as_f64().unwrap_or_else(|| panic!("{name} in {good}"));
    // One more notification is valid: the replayed one.
    let stored_of_bad = world.count("SELECT count(*) FROM notifications") - figure("delivered") as i64 - 1;
    assert!(server.stop().success());
    Refused {
        rows,
        good_sent: figure("messages") as u64,
        good_answered_200: figure("delivered") as u64,
        good_sent_again: figure("delivered_again") as u64,
        good_p50_ms: figure("p50_ms"),
        good_p99_ms: figure("p99_ms"),
        good_max_ms: figure("max_ms"),
        stored_of_bad,
    }
}

fn rows(server: &Server, world: &World, expired: &str, channel: &str) -> Vec<Row> {
    let forged = google(channel, "a token that somebody made up", "1000001", "exists");
    // From here on the database has this token's hash, so that the benchmark knows the token of one channel.
    world.execute(&format!("UPDATE channels SET token_hash = sha256('known') WHERE id IN ('{channel}', '{expired}')"));
    let right = google(channel, "known", "1000002", "exists");
    assert_eq!(server.post("/calendar", &right, b""), 200);
    let unknown = google("00000000-0000-4000-8000-000000000000", "known", "1", "exists");
    let bearer = format!(
        "Bearer {}.{}.{}",
        BASE64URL_NOPAD.encode(br#"{"alg":"RS256","kid":"sim-oidc-0","typ":"JWT"}"#),
        BASE64URL_NOPAD.encode(br#"{"iss":"https://accounts.google.com","aud":"bench","exp":4102444800,"email":"push@bench.iam.example.com","email_verified":true}"#),
        BASE64URL_NOPAD.encode(&[7; 256])
    );
    let large = vec![b'x'; (64 << 10) + 1];
    let long = "x".repeat(20 << 10);
    let send = |path: &str, headers: &[(&str, &str)], body: &[u8]| server.post(path, headers, body);
    let raw = |text: &str| server.exchange(text.as_bytes());
    let mut rows = vec![
        answered("forged channel token", 401, || send("/calendar", &forged, b"")),
        answered("unknown channel", 404, || send("/calendar", &unknown, b"")),
        answered("expired channel", 404, || send("/calendar", &google(expired, "known", "1", "exists"), b"")),
        answered("channel of another service", 404, || send("/drive", &right, b"")),
        answered("replayed notification (no effect)", 200, || send("/calendar", &right, b"")),
        answered("no message number", 400, || send("/calendar", &[right[0], right[1], right[3], right[4]], b"")),
        answered("body over 64 KiB", 413, || send("/calendar", &right, &large)),
        answered("1 GiB announced, not sent", 413, || {
            raw("POST /gmail HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1073741824\r\n\r\n")
        }),
        answered("headers over 16 KiB", 431, || send("/calendar", &[("x-long", &long)], b"")),
        answered("wrong method (GET /calendar)", 405, || raw("GET /calendar HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")),
        answered("wrong path", 404, || send("/elsewhere", &right, b"")),
        answered("no HTTP", 400, || raw("\x16\x03\x01\x02\x00\x01\x00 hello\r\n\r\n")),
        answered("Gmail: token with a wrong signature", 401, || send("/gmail", &[("authorization", &bearer)], b"{}")),
        answered("Gmail: no token", 401, || send("/gmail", &[], b"{}")),
        answered("Attendee: wrong signature", 401, || send("/attendee", &[("X-Webhook-Signature", "bm90IGl0")], b"{}")),
    ];
    rows.push(cut_off("slow headers", server, "POST /calendar HTTP/1.1\r\nhost: x\r\n", "closed without an answer"));
    rows.push(cut_off("half-open: connected, and then nothing", server, "", "closed without an answer"));
    let slow = "POST /calendar HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\nab";
    rows.push(cut_off("slow body", server, slow, "408"));
    rows.push(too_many(server));
    rows
}

/// Sends it repeatedly, one at a time.
fn answered(what: &'static str, expected: u16, send: impl Fn() -> u16) -> Row {
    let started = Instant::now();
    let mut statuses: Vec<u16> = (0..TIMES).map(|_| send()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let got: Vec<String> = statuses.iter().map(u16::to_string).collect();
    Row { what, sent: TIMES, got: got.join(", "), seconds: started.elapsed().as_secs_f64(), right: statuses == [expected] }
}

/// Fifty concurrent connections that send this and no more.
fn cut_off(what: &'static str, server: &Server, text: &str, expected: &str) -> Row {
    let started = Instant::now();
    let mut held: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    held.iter_mut().for_each(|stream| stream.write_all(text.as_bytes()).expect("sent"));
    let mut got: Vec<String> = held.iter_mut().map(end).collect();
    let (sent, seconds) = (got.len(), started.elapsed().as_secs_f64());
    got.sort();
    got.dedup();
    let right = got == [expected] && seconds < 15.0;
    Row { what, sent, got: got.join(", "), seconds, right }
}

/// Half as many again as allowed: those beyond the limit are closed immediately.
fn too_many(server: &Server) -> Row {
    let held: Vec<TcpStream> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    let started = Instant::now();
    let mut beyond: Vec<TcpStream> = (0..CONNECTIONS / 2).map(|_| server.connect()).collect();
    let mut got: Vec<String> = beyond.iter_mut().map(end).collect();
    let seconds = started.elapsed().as_secs_f64();
    drop(held);
    got.sort();
    got.dedup();
    let right = got == ["closed without an answer"] && seconds < 4.0;
    Row { what: "connections beyond webhook.max_connections", sent: beyond.len(), got: got.join(", "), seconds, right }
}

/// The status, or how else it ended.
fn end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
    match stream.read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => "left open".into(),
        _ => match String::from_utf8_lossy(&answer).split_whitespace().nth(1) {
            Some(status) => status.to_owned(),
            None => "closed without an answer".into(),
        },
    }
}
