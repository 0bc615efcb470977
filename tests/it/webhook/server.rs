//! `syncctl webhook serve` for a test, and channels that send to it.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use crate::support::World;

/// The token of these tests' channels.
pub const TOKEN: &str = "a token that Google repeats";

/// The binary, listening.
pub struct Server {
    pub child: Child,
    pub address: String,
}

impl Server {
    pub fn start(world: &World, arguments: &[&str]) -> Self {
        Self::of(world.spawn(&[&["webhook", "serve", "--listen", "127.0.0.1:0"], arguments].concat()))
    }

    /// Wraps a started process; waits until it listens.
    pub fn of(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").and_then(|url| url.split_once("://")).map(|(_, address)| address);
        let address = address.unwrap_or_else(|| panic!("it said {line:?}")).to_owned();
        Self { child, address }
    }

    /// Sends SIGTERM; returns the exit status.
    pub fn stop(self) -> ExitStatus {
        self.terminate();
        self.ended()
    }

    /// Waits for its end; a second signal would not let it finish.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    }

    /// The status of a POST; 0 without an answer.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nhost: webhook\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.exchange(&[request.as_bytes(), body].concat())
    }

    /// Sends bytes unchanged; returns the status, 0 without an answer.
    pub fn exchange(&self, bytes: &[u8]) -> u16 {
        let mut stream = self.connect();
        // A request may be refused before it was sent completely.
        let _ = stream.write_all(bytes);
        status(&mut stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("a connection");
        // Only keeps a test that fails from running forever.
        stream.set_read_timeout(Some(Duration::from_secs(300))).expect("a timeout");
        stream
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: webhook\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// A notification of a calendar channel.
    pub fn notify(&self, channel: &str, number: u32, state: &str) -> u16 {
        self.post("/calendar", &google(channel, TOKEN, &number.to_string(), state), b"")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of the answer, at the end of the connection.
pub fn status(stream: &mut impl Read) -> u16 {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Google's request headers.
pub fn google<'a>(channel: &'a str, token: &'a str, number: &'a str, state: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("X-Goog-Channel-ID", channel),
        ("X-Goog-Channel-Token", token),
        ("X-Goog-Message-Number", number),
        ("X-Goog-Resource-State", state),
        ("X-Goog-Resource-ID", "resource"),
    ]
}

/// Users whose calendars are synced and not due; a live channel for each stream of events, in the order of the streams.
pub fn watched(users: u32) -> (World, Vec<String>) {
    let world = World::with_users(users, 3);
    world.sync_all().expect(0);
    world.put_off_all();
    let channels = channels(&world);
    (world, channels)
}

pub fn channels(world: &World) -> Vec<String> {
    world.execute(&format!(
        "INSERT INTO channels (id, stream_id, user_id, service, state, address, token_hash, resource_id, expires_at)
         SELECT gen_random_uuid(), id, user_id, service, 'live', 'https://example.org/calendar', sha256('{TOKEN}'), 'resource', now() + interval '1 day'
         FROM streams WHERE kind = 'events'"
    ));
    world.texts("SELECT id::text FROM channels ORDER BY stream_id")
}
