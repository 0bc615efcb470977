//! Problems of a run that concern many streams or items: one line for each kind and class when the run ends, and each one individually at `-v`. Independent
//! of any service.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Stream;
use crate::error::{Class, Failure};

/// Number of examples in a line.
const EXAMPLES: usize = 3;

/// The collected problems of one run.
#[derive(Debug, Default)]
pub struct Digest(Mutex<BTreeMap<(&'static str, Option<Class>), Problems>>);

#[derive(Debug, Default)]
struct Problems {
    count: u64,
    /// Reason of the first one.
    why: String,
    whose: Vec<String>,
}

impl Digest {
    /// Adds a failure of a stream.
    pub fn failed(&self, what: &'static str, stream: &Stream, failure: &Failure) {
        self.add(what, Some(failure.class), format!("stream {} of {}", stream.id, stream.user_id), &failure.message);
    }

    /// Adds a problem that needs attention. `whose`: ids, no addresses.
    pub fn add(&self, what: &'static str, class: Option<Class>, whose: impl Display, why: &str) {
        log::info!("{what}: {whose}: {}{why}", prefix(class));
        let mut problems = self.problems();
        let of = problems.entry((what, class)).or_default();
        of.count += 1;
        if of.why.is_empty() {
            why.clone_into(&mut of.why);
        }
        if of.whose.len() < EXAMPLES {
            of.whose.push(whose.to_string());
        }
    }

    /// Logs a line for each kind and class, and clears them.
    pub fn log(&self, job: &str) {
        for ((what, class), of) in std::mem::take(&mut *self.problems()) {
            log::warn!("{job}: {}", line(what, class, &of));
        }
    }

    fn problems(&self) -> MutexGuard<'_, BTreeMap<(&'static str, Option<Class>), Problems>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prefix(class: Option<Class>) -> String {
    class.map_or_else(String::new, |class| format!("{class}: "))
}

fn line(what: &str, class: Option<Class>, of: &Problems) -> String {
    let Problems { count, why, whose } = of;
    let more = if *count > whose.len() as u64 { "; -v shows each" } else { "" };
    format!("{what}: {count} × {}{why} ({}{more})", prefix(class), whose.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_count_the_first_reason_and_some_examples() {
        let digest = Digest::default();
        for nth in 0..499 {
            digest.add("stream failed", Some(Class::AuthRevoked), nth, &format!("reason {nth}"));
        }
        digest.add("bot failed", None, "bot a", "no room");
        let lines: Vec<String> = digest.problems().iter().map(|((what, class), of)| line(what, *class, of)).collect();
        assert_eq!(
            lines,
            ["bot failed: 1 × no room (bot a)", "stream failed: 499 × auth_revoked: reason 0 (0, 1, 2; -v shows each)"]
        );
        digest.log("gmail cron");
        assert!(digest.problems().is_empty());
    }
}
