//! Google's channels: which notification makes which stream due.

use super::server::{Server, TOKEN, google, watched};

#[test]
fn a_notification_makes_its_stream_due_and_no_other() {
    let (world, channels) = watched(3);
    let server = Server::start(&world, &[]);
    assert_eq!(server.notify(&channels[1], 7, "sync"), 200);
    assert_eq!(world.due_streams(), 0, "a sync message announces nothing");
    assert_eq!(server.notify(&channels[1], 9, "exists"), 200);
    let due = format!(
        "streams s JOIN channels c ON c.stream_id = s.id WHERE c.id = '{}' AND s.due_at <= now() AND s.pushed_at > s.polled_at",
        channels[1]
    );
    assert_eq!((world.due_streams(), world.rows(&due)), (1, 1));
    assert_eq!(world.notifications(), 2);
    assert_eq!(world.count("SELECT sum(notifications)::int8 FROM channels WHERE last_notified_at IS NOT NULL"), 1);
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    let figures = server.get("/metrics");
    assert!(figures.contains(r#"syncctl_webhook_requests_total{path="/calendar",outcome="accepted"} 2"#), "{figures}");
    assert!(figures.contains("syncctl_webhook_connections 1"), "the one that asks: {figures}");
    assert!(server.stop().success());
}

#[test]
fn a_notification_that_comes_twice_has_one_effect() {
    let (world, channels) = watched(1);
    let server = Server::start(&world, &[]);
    assert_eq!(server.notify(&channels[0], 9, "exists"), 200);
    world.put_off_all();
    assert_eq!(server.notify(&channels[0], 9, "exists"), 200);
    assert_eq!(world.due_streams(), 0, "the second one is no news");
    assert_eq!(world.notifications_of_channels(), 1);
}

#[test]
fn a_stream_that_fails_keeps_its_backoff() {
    let (world, channels) = watched(1);
    world.execute("UPDATE streams SET failures = 3");
    let server = Server::start(&world, &[]);
    assert_eq!(server.notify(&channels[0], 9, "exists"), 200);
    assert_eq!(world.due_streams(), 0);
    assert_eq!(world.notified_streams(), 1);
}

#[test]
fn forged_unknown_expired_and_broken_notifications_change_nothing() {
    let (world, channels) = watched(5);
    let server = Server::start(&world, &[]);
    let channel = channels[0].as_str();
    let send = |headers: &[(&str, &str)]| server.post("/calendar", headers, b"");
    assert_eq!(send(&google(channel, "a token that somebody made up", "1", "exists")), 401);
    assert_eq!(send(&google(channel, "", "1", "exists")), 401);
    let complete = google(channel, TOKEN, "1", "exists");
    for missing in 0..complete.len() {
        let mut headers = complete.to_vec();
        let (name, _) = headers.remove(missing);
        assert_eq!(send(&headers), if name == "X-Goog-Channel-Token" { 401 } else { 400 }, "without {name}");
    }
    assert_eq!(send(&google(channel, TOKEN, "one", "exists")), 400);
    assert_eq!(send(&google("00000000-0000-4000-8000-000000000000", TOKEN, "1", "exists")), 404);
    assert_eq!(send(&google("no uuid", TOKEN, "1", "exists")), 404);
    assert_eq!(server.post("/drive", &complete, b""), 404, "a calendar's channel");
    world.execute(&format!("UPDATE channels SET expires_at = now() - interval '1 s' WHERE id = '{}'", channels[1]));
    world.execute(&format!("UPDATE channels SET state = 'stopped' WHERE id = '{}'", channels[2]));
    world.execute(&format!("UPDATE channels SET stream_id = NULL WHERE id = '{}'", channels[3]));
    for gone in &channels[1..4] {
        assert_eq!(server.notify(gone, 1, "exists"), 404);
    }
    assert_eq!(server.post("/calendar", &complete, &vec![b'x'; 65 << 10]), 413);
    assert_eq!(server.post("/elsewhere", &complete, b""), 404);
    assert_eq!(world.notifications(), 0);
    assert_eq!(world.due_streams(), 0);
    // A replaced channel is accepted until it is stopped.
    world.execute(&format!("UPDATE channels SET state = 'stopping' WHERE id = '{}'", channels[4]));
    assert_eq!(server.notify(&channels[4], 1, "exists"), 200);
    assert_eq!(world.due_streams(), 1);
}
