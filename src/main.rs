//! The binary: settings, logs, signals, exit code. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(syncctl::cli::main() as u8)
}
