//! The simulator in a separate process: this benchmark, called with one argument.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

/// The argument.
pub const COMMAND: &str = "simulator";

/// Serves until standard input ends, which it does with the benchmark, however that ends.
pub fn serve() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sim = runtime.block_on(google_sim::Sim::start()).expect("the simulator starts");
    println!("{}", sim.url);
    std::io::stdout().flush().expect("a reader");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("standard input");
}

/// A serving process. It ends with this value.
pub struct Process {
    pub url: String,
    child: Child,
}

impl Process {
    pub fn start() -> Self {
        let program = std::env::current_exe().expect("the benchmark's own path");
        let mut command = Command::new(program);
        let mut child = command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the simulator starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its address");
        Self { url: line.trim().to_owned(), child }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
