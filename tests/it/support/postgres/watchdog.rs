//! Ends the servers of a folder and removes the folder once the test process has ended for any reason, including SIGKILL.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its input, which only this process holds open, then for the servers named in the pid files.
const SCRIPT: &str = r#"
cat >/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
  for file in "$1"/*.pid "$1"/*/data/postmaster.pid; do
    pid=$(head -n 1 "$file") && [ -n "$pid" ] || continue
    # QUIT ends PostgreSQL at once; PgBouncer ignores it where the shell that started the tests did, and ends with TERM.
    kill -QUIT "$pid"
    kill -TERM "$pid"
    # A dead child that nobody collects can still be signalled, hence the bound.
    for look in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.05; done
  done
  rm -rf "$@" && exit
  sleep 0.2
done
"#;

pub struct Watchdog(Child);

impl Watchdog {
    /// Watches the servers in `folder`; `elsewhere` is removed with it.
    pub fn over(folder: &Path, elsewhere: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "watchdog"]).arg(folder).arg(elsewhere);
        // In a separate process group, so that Ctrl-C in the terminal does not end it.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("a shell"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let waited: io::Result<_> = self.0.wait();
        drop(waited);
    }
}
