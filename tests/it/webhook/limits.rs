//! Slow senders, too many senders, an unavailable database, and shutdown.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::server::{Server, TOKEN, channels, google, status, watched};
use crate::support::World;
use crate::support::postgres::Postgres;

/// Many times what an answer takes on an idle machine. Without a limit of its own it would take a minute, or until the lock ends.
const BOUND: Duration = Duration::from_secs(40);

#[test]
fn slow_headers_silent_connections_and_slow_bodies_are_cut_off() {
    let (world, channels) = watched(1);
    let server = Server::start(&world, &[]);
    let started = Instant::now();
    let mut slow = server.connect();
    slow.write_all(b"POST /calendar HTTP/1.1\r\nhost: x\r\n").expect("sent");
    let mut silent = server.connect();
    let mut body = server.connect();
    body.write_all(b"POST /calendar HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nconnection: close\r\n\r\nab").expect("sent");
    // Others are served meanwhile.
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("the end");
    silent.read_to_end(&mut rest).expect("the end");
    assert_eq!(status(&mut body), 408);
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(4) && took < BOUND, "{took:?}");
    assert_eq!(server.notify(&channels[0], 2, "exists"), 200);
}

#[test]
fn too_many_connections_are_refused_without_harm() {
    let (mut world, channels) = watched(1);
    world.set("SYNCCTL_WEBHOOK_MAX_CONNECTIONS", "4");
    let server = Server::start(&world, &[]);
    let held: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let refused = (0..20).filter(|_| server.notify(&channels[0], 1, "exists") == 0).count();
    assert_eq!(refused, 20);
    drop(held);
    let back = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        server.notify(&channels[0], 1, "exists") == 200
    });
    assert!(back, "no client is served after the others have left");
}

/// The binary with limits on open files, started by this command.
fn limited(world: &World, soft: u32, hard: u32, by: &str) -> Command {
    let program = world.command(&[]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!(r#"ulimit -Sn {soft} && ulimit -Hn {hard} && {by} "$0" webhook serve --listen 127.0.0.1:0"#)])
        .arg(program.get_program())
        .env_clear()
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell
}

#[test]
fn connections_that_are_held_open_leave_it_its_database() {
    let (mut world, channels) = watched(1);
    world.set("SYNCCTL_WEBHOOK_MAX_CONNECTIONS", "300");
    world.set("SYNCCTL_WEBHOOK_MAX_CONNECTIONS_PER_ADDRESS", "300");
    let refused = limited(&world, 64, 200, "exec timeout 60").output().expect("it ends");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(78) && said.contains("allows 200: lower the setting"), "{said}");
    let server = Server::of(limited(&world, 64, 1000, "exec").spawn().expect("a shell"));
    let held: Vec<_> = (0..290).map(|_| server.connect()).collect();
    // It queries the database only after these connections are open.
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
    drop(held);
}

#[test]
fn without_its_database_it_answers_503_and_comes_back() {
    let postgres: &'static Postgres = Box::leak(Box::new(Postgres::new(None, &[])));
    let start = || postgres.cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
    start();
    let database = postgres.database();
    let url = database.url();
    let world = World::on(database, url);
    world.populate(1, 3);
    world.sync_all().expect(0);
    let channels = channels(&world);
    let server = Server::start(&world, &[]);
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
    postgres.cluster.stop().expect("stopped");
    let started = Instant::now();
    assert_eq!(server.notify(&channels[0], 2, "exists"), 503);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    assert!(server.get("/healthz").starts_with("HTTP/1.1 503"));
    start();
    // Google sends it again.
    assert_eq!(server.notify(&channels[0], 2, "exists"), 200);
    assert_eq!(world.notifications(), 2);
    assert!(server.stop().success());
}

#[test]
fn a_locked_row_costs_two_seconds_and_no_notification() {
    let (world, channels) = watched(1);
    let server = Server::start(&world, &[]);
    let mut other = world.database.connect();
    let mut held = other.transaction().expect("a transaction");
    held.execute("UPDATE streams SET weight = weight", &[]).expect("held");
    let started = Instant::now();
    assert_eq!(server.notify(&channels[0], 1, "exists"), 503);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    held.commit().expect("let go");
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
    assert_eq!(world.notified_streams(), 1);
}

/// Connections of syncctl to the world's database.
fn connections(world: &World) -> i64 {
    world.rows("pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'syncctl%'")
}

#[test]
fn a_locked_row_or_table_costs_no_other_notification_and_no_further_connections() {
    let (mut world, channels) = watched(2);
    world.set("SYNCCTL_DB_POOL_SIZE", "3");
    let server = Server::start(&world, &[]);
    let mut other = world.database.connect();
    let first = "SELECT FROM streams WHERE id = (SELECT min(id) FROM streams WHERE kind = 'events') FOR UPDATE";
    let mut number = 0;
    for (held, free) in [(first, 200), ("LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE", 503)] {
        other.batch_execute(&format!("BEGIN; {held}")).expect("held");
        for _ in 0..5 {
            number += 1;
            std::thread::scope(|threads| {
                let waits = threads.spawn(|| server.notify(&channels[0], number, "exists"));
                assert_eq!(server.notify(&channels[1], number, "exists"), free, "{held}");
                assert_eq!(waits.join().expect("an answer"), 503, "{held}");
            });
        }
        let open = connections(&world);
        assert!(open <= 3, "{open} connections: {held}");
        other.batch_execute("COMMIT").expect("let go");
        assert_eq!(server.notify(&channels[0], number, "exists"), 200);
    }
    assert_eq!(world.notified_streams(), 2);
}

#[test]
fn a_signal_lets_it_finish_what_it_has_in_hand() {
    let (world, channels) = watched(1);
    let server = Server::start(&world, &[]);
    let mut other = world.database.connect();
    let mut held = other.transaction().expect("a transaction");
    // Another server got the same one, and has not stored it yet.
    let same = format!("INSERT INTO notifications (source, key) VALUES ('channel:{}', '1')", channels[0]);
    held.batch_execute(&same).expect("held");
    let mut request = String::from("POST /calendar HTTP/1.1\r\nhost: x\r\n");
    for (name, value) in google(&channels[0], TOKEN, "1", "exists") {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = server.connect();
    stream.write_all(format!("{request}\r\n").as_bytes()).expect("sent");
    while world.lock_waits() == 0 {}
    let started = Instant::now();
    server.terminate();
    std::thread::sleep(Duration::from_millis(200));
    held.rollback().expect("let go");
    assert_eq!(status(&mut stream), 200);
    assert!(server.ended().success());
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    assert_eq!(world.notifications(), 1);
}

/// As after a failover that leaves connections to the old primary open, which is read-only from then on.
#[test]
fn a_connection_to_a_database_that_only_reads_by_now_is_replaced() {
    let (world, channels) = watched(1);
    let only_reads = |how: &str| {
        world.execute(&format!("BEGIN READ WRITE; ALTER DATABASE {} {how}; COMMIT", world.database.name()));
    };
    only_reads("SET default_transaction_read_only = on");
    let server = Server::start(&world, &[]);
    assert_eq!(server.notify(&channels[0], 1, "exists"), 503);
    only_reads("RESET default_transaction_read_only");
    assert_eq!(server.notify(&channels[0], 2, "exists"), 200);
}
