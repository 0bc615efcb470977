//! Runs the binary at a terminal, which util-linux's `script` opens.

use std::process::{Command, Stdio};

use super::World;
use super::result::{RunResult, run_result};

impl World {
    /// Runs the binary to completion at a terminal. What it prints on both outputs is in `stdout`.
    pub fn at_terminal(&self, arguments: &[&str]) -> RunResult {
        self.at_terminal_with(arguments, "")
    }

    /// The same with redirections, such as `>/tmp/file`.
    pub fn at_terminal_with(&self, arguments: &[&str], redirections: &str) -> RunResult {
        let command = self.command(arguments);
        let words = std::iter::once(command.get_program()).chain(command.get_args()).map(|word| {
            let word = word.to_str().expect("text");
            assert!(!word.contains('\''), "{word}");
            format!("'{word}'")
        });
        let line = format!("{} {redirections}", words.collect::<Vec<_>>().join(" "));
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .env("TERM", "xterm")
            .stdin(Stdio::null());
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        run_result(script.output().expect("util-linux's script starts"))
    }
}
