//! The intake under load: nothing is lost. Prints figures with `--nocapture`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use super::server::{Server, TOKEN, google, watched};

const NOTIFICATIONS: u32 = 12_800;
const CONNECTIONS: u32 = 64;

/// As fast as they are accepted, over kept-alive connections.
#[test]
fn thousands_of_notifications_at_once_are_all_taken() {
    let (mut world, channels) = watched(50);
    // However long a slow machine needs for them.
    world.set("SYNCCTL_WEBHOOK_CONNECTION_LIFE", "1h");
    let server = Server::start(&world, &[]);
    let started = Instant::now();
    let mut all: Vec<(u16, Duration)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|sender| {
                let (server, channels) = (&server, &channels);
                scope.spawn(move || {
                    let stream = server.connect();
                    stream.set_nodelay(true).expect("an option");
                    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                    let mut writer = stream;
                    (0..NOTIFICATIONS / CONNECTIONS)
                        .map(|n| {
                            let number = (n * CONNECTIONS + sender).to_string();
                            let channel = &channels[(n * CONNECTIONS + sender) as usize % channels.len()];
                            let mut request = String::from("POST /calendar HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n");
                            for (name, value) in google(channel, TOKEN, &number, "exists") {
                                request.push_str(&format!("{name}: {value}\r\n"));
                            }
                            request.push_str("\r\n");
                            let sent = Instant::now();
                            writer.write_all(request.as_bytes()).expect("sent");
                            (answer(&mut reader), sent.elapsed())
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().expect("a sender")).collect()
    });
    let took = started.elapsed();
    let taken = all.iter().filter(|(status, _)| *status == 200).count();
    all.sort_unstable_by_key(|(_, latency)| *latency);
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].1;
    let memory = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("a status");
    let peak = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned();
    let stored = world.notifications();
    println!(
        "{} sent in {took:.2?} ({:.0}/s), {taken} taken, {stored} stored; p50 {:.2?}, p95 {:.2?}, p99 {:.2?}, max {:.2?}; {peak}",
        all.len(),
        all.len() as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
    assert_eq!((taken, stored), (NOTIFICATIONS as usize, i64::from(NOTIFICATIONS)));
}

/// The status of the next answer on a kept-alive connection.
fn answer(reader: &mut impl std::io::BufRead) -> u16 {
    let (mut status, mut length) = (0, 0);
    for line in reader.by_ref().lines() {
        let line = line.expect("a line").to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0);
        }
        if let Some(rest) = line.strip_prefix("content-length:") {
            length = rest.trim().parse().expect("a length");
        }
        if line.is_empty() {
            break;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).expect("a body");
    status
}
