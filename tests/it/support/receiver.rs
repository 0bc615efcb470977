//! A webhook receiver: an HTTP/1.1 server on loopback that records each request and answers as the test says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

/// Longer than any step here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// A request as received.
#[derive(Debug, Clone)]
pub struct Request {
    /// From 1, in order of arrival.
    pub number: usize,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Text; other content is in `bytes`.
    pub body: String,
    pub bytes: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    pub fn key(&self) -> &str {
        self.header("idempotency-key")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(u16),
    Full(u16, Vec<(&'static str, String)>, String),
    /// The same, with a body that is not text.
    Bytes(u16, Vec<(&'static str, String)>, Arc<[u8]>),
    /// A body that does not end before this many bytes.
    Endless(u16, usize),
    /// No answer before `Receiver::release`.
    Hold,
    /// The connection breaks.
    Reset,
}

type Rule = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    connections: usize,
    written: usize,
    released: bool,
    gave_up: bool,
    rule: Option<Arc<Rule>>,
}

/// Records and answers until the test ends.
pub struct Receiver {
    pub port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Receiver {
    /// Answers 200 to everything.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::<(Mutex<State>, Condvar)>::default();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                lock(&of_thread).connections += 1;
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || serve(connection, &shared));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Answers by this rule from now on.
    pub fn answer(&self, rule: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        lock(&self.shared).rule = Some(Arc::new(Box::new(rule)));
    }

    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared).requests.clone()
    }

    /// Requests since the last call.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.shared).requests)
    }

    pub fn connections(&self) -> usize {
        lock(&self.shared).connections
    }

    /// Bytes of endless bodies sent so far.
    pub fn written(&self) -> usize {
        lock(&self.shared).written
    }

    /// Whether a client waited for a held answer until the timeout.
    pub fn gave_up(&self) -> bool {
        lock(&self.shared).gave_up
    }

    /// Blocks until this many requests have arrived.
    pub fn wait_for(&self, requests: usize) {
        let state = lock(&self.shared);
        let (state, timeout) =
            self.shared.1.wait_timeout_while(state, PATIENCE, |state| state.requests.len() < requests).expect("no poison");
        assert!(!timeout.timed_out(), "{} of {requests} requests came", state.requests.len());
    }

    /// Answers 200 to held requests, and stops holding.
    pub fn release(&self) {
        lock(&self.shared).released = true;
        self.shared.1.notify_all();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.release();
    }
}

fn lock(shared: &(Mutex<State>, Condvar)) -> MutexGuard<'_, State> {
    shared.0.lock().expect("no poison")
}

/// One connection, kept alive as long as the client wants.
fn serve(connection: TcpStream, shared: &(Mutex<State>, Condvar)) -> Option<()> {
    connection.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut writer = connection;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let mut bytes = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut bytes).ok()?;
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let (request, rule) = {
            let mut state = lock(shared);
            let request = Request { number: state.requests.len() + 1, path, headers, body, bytes };
            state.requests.push(request.clone());
            shared.1.notify_all();
            (request, state.rule.clone())
        };
        let (status, headers, body) = match rule.map_or(Reply::Status(200), |rule| rule(&request)) {
            Reply::Status(status) => (status, Vec::new(), Arc::default()),
            Reply::Full(status, headers, body) => (status, headers, body.into_bytes().into()),
            Reply::Bytes(status, headers, body) => (status, headers, body),
            Reply::Hold => {
                let (mut held, timeout) = shared.1.wait_timeout_while(lock(shared), PATIENCE, |state| !state.released).ok()?;
                held.gave_up |= timeout.timed_out();
                drop(held);
                (200, Vec::new(), Arc::default())
            }
            Reply::Endless(status, most) => {
                write!(writer, "HTTP/1.1 {status} X\r\ncontent-length: {most}\r\n\r\n").ok()?;
                let piece = [b'x'; 8192];
                for _ in 0..most / piece.len() {
                    writer.write_all(&piece).ok()?;
                    lock(shared).written += piece.len();
                }
                return None;
            }
            // Dropping the thread's ends closes it.
            Reply::Reset => return None,
        };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
        writer.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}
