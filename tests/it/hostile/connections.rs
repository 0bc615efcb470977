//! Clients that monopolise `webhook serve`: they never read answers, read byte by byte, or open many connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::pgbouncer;
use crate::support::waiting::until;
use crate::webhook::server::{Server, status, watched};

const CONNECTIONS: usize = 8;

/// Requests metrics repeatedly until the server stops reading: by then it has more to write than sockets buffer.
fn stuck(server: &Server) -> Option<TcpStream> {
    let mut stream = server.connect();
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let request_answer = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    loop {
        match stream.write_all(request_answer.as_bytes()) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                return Some(stream);
            }
            // The server had no free place, or has already cut it off.
            Err(_) => return None,
        }
    }
}

/// The answer; empty if there was no free place.
fn request_answer(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut answer = Vec::new();
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn clients_that_never_read_are_cut_off_and_others_get_their_places() {
    let (mut world, channels) = watched(1);
    world.set("SYNCCTL_WEBHOOK_MAX_CONNECTIONS", CONNECTIONS.to_string());
    let server = Server::start(&world, &[]);
    let held: Vec<Option<TcpStream>> = std::thread::scope(|threads| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| threads.spawn(|| stuck(&server))).collect();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    // They are still connected, and would stay forever.
    assert!(held.iter().flatten().count() > 0, "no client got stuck");
    until("others are served", || server.notify(&channels[0], 1, "exists") == 200);
    until("all are cut off", || request_answer(&server.address, "/metrics").contains("syncctl_webhook_connections 1\n"));
    drop(held);
}

#[test]
fn clients_that_read_by_the_byte_are_cut_off_after_the_life_of_a_connection() {
    let (mut world, channels) = watched(1);
    world.set("SYNCCTL_WEBHOOK_MAX_CONNECTIONS", CONNECTIONS.to_string());
    world.set("SYNCCTL_WEBHOOK_CONNECTION_LIFE", "1s");
    let server = Server::start(&world, &[]);
    let served = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..CONNECTIONS {
            threads.spawn(|| {
                let Some(mut stream) = stuck(&server) else { return };
                // One read per second: just fast enough that the server does not give up on the write.
                while !served.load(Ordering::Relaxed) && stream.read_exact(&mut [0; 64 << 10]).is_ok() {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
        }
        until("others are served", || server.notify(&channels[0], 1, "exists") == 200);
        served.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_connection_ends_after_its_life_and_the_next_one_is_served() {
    let (mut world, channels) = watched(1);
    world.set("SYNCCTL_WEBHOOK_CONNECTION_LIFE", "1s");
    let server = Server::start(&world, &[]);
    let mut stream = server.connect();
    let (mut answered, mut piece, mut text) = (0, [0; 4096], String::new());
    while !text.contains("connection: close") {
        assert!(answered < 10_000, "the connection outlives its life");
        // Closing an idle connection is fine, too.
        if stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").is_err() {
            break;
        }
        let read = stream.read(&mut piece).unwrap_or(0);
        if read == 0 {
            break;
        }
        text = String::from_utf8_lossy(&piece[..read]).to_lowercase();
        assert!(text.starts_with("http/1.1 200"), "{text}");
        answered += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(answered > 0, "not answered at all");
    assert_eq!(stream.read(&mut piece).unwrap_or(0), 0, "it goes on");
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
}

/// A connection from another address of this machine.
fn from_elsewhere(server: &Server) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let address: SocketAddr = server.address.parse().expect("an address");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).expect("an address");
        socket.connect(address).await.expect("a connection")
    });
    let stream = stream.into_std().expect("a stream");
    stream.set_nonblocking(false).expect("an option");
    stream
}

#[test]
fn one_address_has_its_share_of_the_connections_and_no_more() {
    let (mut world, channels) = watched(1);
    world.set("SYNCCTL_WEBHOOK_MAX_CONNECTIONS_PER_ADDRESS", "4");
    let server = Server::start(&world, &[]);
    // Held connections are idle and cut off after a while: if that came first, repeat.
    until("the fifth of an address is refused, and one of another address is served", || {
        let held: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
        let refused = server.notify(&channels[0], 1, "exists") == 0;
        let mut other = from_elsewhere(&server);
        other.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        let served = status(&mut other) == 200;
        drop(held);
        refused && served
    });
    until("places come back", || server.notify(&channels[0], 1, "exists") == 200);
}

#[test]
fn health_and_figures_are_served_apart_where_all_places_are_taken() {
    let (mut world, _) = watched(1);
    let port = pgbouncer::free_port();
    world.set("SYNCCTL_WEBHOOK_STATUS_LISTEN", format!("127.0.0.1:{port}"));
    world.set("SYNCCTL_WEBHOOK_MAX_CONNECTIONS", "2");
    let server = Server::start(&world, &[]);
    assert!(server.get("/healthz").starts_with("HTTP/1.1 404") && server.get("/metrics").starts_with("HTTP/1.1 404"));
    let held: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    let ask = |path: &str| request_answer(&format!("127.0.0.1:{port}"), path);
    assert!(ask("/healthz").starts_with("HTTP/1.1 200") && ask("/metrics").contains("syncctl_webhook_connections "));
    assert!(ask("/calendar").starts_with("HTTP/1.1 404"));
    drop(held);
    assert!(server.stop().success());
}

#[test]
fn an_invalid_address_for_health_is_reported() {
    let (mut world, _) = watched(1);
    world.set("SYNCCTL_WEBHOOK_STATUS_LISTEN", "localhost");
    let run = world.syncctl(&["webhook", "serve", "--listen", "127.0.0.1:0"]).expect(78);
    assert!(run.stderr.contains("webhook.status_listen"), "{}", run.stderr);
}
