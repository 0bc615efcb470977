//! A proxy to PostgreSQL that closes or freezes on command: everything sent before has arrived, nothing after it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// What happens to the piece at which the gate acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// It is lost, and every connection is closed.
    Close,
    /// It is held, and no more data passes in either direction. Connections stay open, even those of dead clients.
    Freeze,
    /// The same, but the piece still reaches the server; its answer is held.
    FreezeBehind,
}

/// State and counters of a gate.
struct State {
    /// Pieces that clients may still send; each is one write of theirs, or two that arrived together.
    remaining: usize,
    /// The first piece that contains this is also the last one.
    word: &'static str,
    act: Act,
    /// Pieces that clients have sent since the last command.
    passed: usize,
    frozen: bool,
    open: Vec<UnixStream>,
}

/// A state, and a notification of its changes.
type Shared = (Mutex<State>, Condvar);

/// A socket in front of a server's. Serves until the test process ends.
pub struct Gate {
    folder: tempfile::TempDir,
    state: Arc<Shared>,
}

impl Gate {
    /// In front of the socket of a server in this folder.
    pub fn before(server: &Path, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(name(port))).expect("a socket");
        let server = server.join(name(port));
        let state = State { remaining: usize::MAX, word: "", act: Act::Close, passed: 0, frozen: false, open: Vec::new() };
        let state: Arc<Shared> = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                admit(client, &server, &shared);
            }
        });
        Self { folder, state }
    }

    /// libpq keywords for a database behind it.
    pub fn url(&self, database: &str, port: u16) -> String {
        format!("host='{}' port={port} user=syncctl dbname={database}", self.folder.path().display())
    }

    /// Lets this many more pieces through, then closes every connection and accepts no new ones.
    pub fn close_after(&self, pieces: usize) {
        self.act(pieces, "", Act::Close);
    }

    /// Freezes at the piece after this many; `behind`: once that piece has reached the server.
    pub fn freeze_after(&self, pieces: usize, behind: bool) {
        self.act(pieces, "", if behind { Act::FreezeBehind } else { Act::Freeze });
    }

    /// Freezes when a client sends this word.
    pub fn freeze_at(&self, word: &'static str) {
        self.act(usize::MAX, word, Act::Freeze);
    }

    /// Closes all connections, and lets everything through from now on.
    pub fn open(&self) {
        self.act(usize::MAX, "", Act::Close);
    }

    fn act(&self, remaining: usize, word: &'static str, act: Act) {
        let mut state = lock(&self.state);
        end_all(&mut state);
        *state = State { remaining, word, act, passed: 0, frozen: false, open: Vec::new() };
        self.state.1.notify_all();
    }

    /// Whether it has closed since.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).remaining == 0
    }

    /// Pieces that clients have sent since the last command.
    pub fn passed(&self) -> usize {
        lock(&self.state).passed
    }

    /// Blocks until it is frozen. False: the client ended before.
    pub fn stands_still_before_the_end_of(&self, client: &mut Child) -> bool {
        let mut state = lock(&self.state);
        while !state.frozen {
            if client.try_wait().expect("a child").is_some() {
                return false;
            }
            // The end of a child sends no notification.
            state = self.state.1.wait_timeout(state, Duration::from_millis(5)).expect("no thread panicked").0;
        }
        true
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.0.lock().expect("no thread panicked")
}

fn end_all(state: &mut State) {
    for stream in state.open.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn name(port: u16) -> PathBuf {
    format!(".s.PGSQL.{port}").into()
}

fn admit(client: UnixStream, server: &Path, state: &Arc<Shared>) {
    let mut known = lock(state);
    if known.remaining == 0 && known.act == Act::Close {
        return;
    }
    let server = UnixStream::connect(server).expect("the server runs");
    let twin = |stream: &UnixStream| stream.try_clone().expect("a second handle");
    known.open.extend([twin(&client), twin(&server)]);
    let (answers, asker) = (twin(&server), twin(&client));
    let (there, back) = (Arc::clone(state), Arc::clone(state));
    std::thread::spawn(move || copy(answers, asker, |_, _| while_it_moves(lock(&back), &back).is_some()));
    std::thread::spawn(move || copy(client, server, |piece, server| may_pass(&there, piece, server)));
}

/// Counts a piece, and acts at the first one beyond the limit.
fn may_pass(shared: &Shared, piece: &[u8], server: &mut UnixStream) -> bool {
    let Some(mut state) = while_it_moves(lock(shared), shared) else { return false };
    if piece.is_empty() {
        return true;
    }
    state.passed += 1;
    state.remaining -= usize::from(state.remaining > 0);
    let is_word = !state.word.is_empty() && piece.windows(state.word.len()).any(|part| part == state.word.as_bytes());
    if state.remaining > 0 && !is_word {
        return true;
    }
    state.remaining = 0;
    if state.act == Act::Close {
        end_all(&mut state);
        return false;
    }
    if state.act == Act::FreezeBehind {
        let _ = server.write_all(piece);
    }
    state.frozen = true;
    shared.1.notify_all();
    while_it_moves(state, shared).is_some()
}

/// Blocks while the gate is frozen; `None`: it was, and the connection is closed.
fn while_it_moves<'a>(mut state: MutexGuard<'a, State>, shared: &'a Shared) -> Option<MutexGuard<'a, State>> {
    let stood_still = state.frozen;
    while state.frozen {
        state = shared.1.wait(state).expect("no thread panicked");
    }
    (!stood_still).then_some(state)
}

fn copy(mut from: UnixStream, mut to: UnixStream, mut may_pass: impl FnMut(&[u8], &mut UnixStream) -> bool) {
    let mut piece = [0; 64 * 1024];
    // The end of a connection is a piece too: it does not pass a frozen gate.
    while let Ok(length) = from.read(&mut piece)
        && may_pass(&piece[..length], &mut to)
        && length > 0
        && to.write_all(&piece[..length]).is_ok()
    {}
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
