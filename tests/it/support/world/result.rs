//! The result of a run of the binary.

use serde_json::Value;

/// The result of a run of the binary.
#[derive(Debug)]
pub struct RunResult {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl RunResult {
    /// The result on stdout of a run with `--json`.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON on stdout ({error}): {self:?}"))
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        // Its end says why, and is what a shortened log of CI keeps.
        assert!(
            self.code == code,
            "exit code {} instead of {code}\nstdout:\n{}\nstderr:\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }
}

pub(super) fn run_result(output: std::process::Output) -> RunResult {
    RunResult {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
