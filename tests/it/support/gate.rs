//! A way to PostgreSQL that breaks off when it is told to: everything that a client said before has arrived, nothing after it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a gate has seen and let through.
struct State {
    /// Pieces that clients may still send; each is one write of theirs, or two that came together.
    left: usize,
    open: Vec<UnixStream>,
}

/// A socket before that of a server. Serves until the test process ends.
pub struct Gate {
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

impl Gate {
    /// Before the socket of a server in this folder.
    pub fn before(server: &Path, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(name(port))).expect("a socket");
        let server = server.join(name(port));
        let state = Arc::new(Mutex::new(State { left: usize::MAX, open: Vec::new() }));
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

    /// Lets so many pieces through from now on, then ends every connection and takes no new ones.
    pub fn close_after(&self, pieces: usize) {
        let mut state = self.state.lock().expect("nobody panicked");
        state.open.clear();
        state.left = pieces;
    }

    /// Whether it has closed since.
    pub fn is_closed(&self) -> bool {
        self.state.lock().expect("nobody panicked").left == 0
    }
}

fn name(port: u16) -> PathBuf {
    format!(".s.PGSQL.{port}").into()
}

fn admit(client: UnixStream, server: &Path, state: &Arc<Mutex<State>>) {
    let mut known = state.lock().expect("nobody panicked");
    if known.left == 0 {
        return;
    }
    let server = UnixStream::connect(server).expect("the server runs");
    let twin = |stream: &UnixStream| stream.try_clone().expect("a second handle");
    known.open.extend([twin(&client), twin(&server)]);
    let (answers, asker) = (twin(&server), twin(&client));
    std::thread::spawn(move || copy(answers, asker, || true));
    let state = Arc::clone(state);
    std::thread::spawn(move || copy(client, server, || may_pass(&state)));
}

/// Counts a piece; the one too many closes all.
fn may_pass(state: &Mutex<State>) -> bool {
    let mut state = state.lock().expect("nobody panicked");
    if state.left > 0 {
        state.left -= 1;
    }
    if state.left == 0 {
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    state.left > 0
}

fn copy(mut from: UnixStream, mut to: UnixStream, mut may_pass: impl FnMut() -> bool) {
    let mut piece = [0; 64 * 1024];
    while let Ok(length) = from.read(&mut piece)
        && length > 0
        && may_pass()
        && to.write_all(&piece[..length]).is_ok()
    {}
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
