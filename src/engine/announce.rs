//! Announces on standard output what this process is working on, if it polls in isolation: before each step of each task, in any order.

use std::io::Write as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::{Either, poll_fn};
use serde::{Deserialize, Serialize};

static IS_ON: AtomicBool = AtomicBool::new(false);
static AT: Mutex<Option<Checkpoint>> = Mutex::new(None);

/// A stream, and the item that is being read or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, Option<String>)", into = "(i64, Option<String>)")]
pub struct Checkpoint {
    /// `streams.id`
    pub stream: i64,
    /// The provider's id.
    pub item: Option<String>,
}

impl From<(i64, Option<String>)> for Checkpoint {
    fn from((stream, item): (i64, Option<String>)) -> Self {
        Self { stream, item }
    }
}

impl From<Checkpoint> for (i64, Option<String>) {
    fn from(checkpoint: Checkpoint) -> Self {
        (checkpoint.stream, checkpoint.item)
    }
}

/// Makes this process announce its work from now on, and die together with its parent.
pub fn begin() {
    IS_ON.store(true, Ordering::Relaxed);
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        log::info!("this process may outlive the one that started it: {error}");
    }
}

/// Whether this process polls in isolation.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// A checkpoint to announce; `None` if this process does not poll in isolation.
pub fn checkpoint(stream: i64, item: Option<&str>) -> Option<Checkpoint> {
    is_on().then(|| Checkpoint { stream, item: item.map(str::to_owned) })
}

/// Runs `work`, announcing each step.
pub fn on<F: Future>(checkpoint: Option<Checkpoint>, work: F) -> Either<F, impl Future<Output = F::Output> + use<F>> {
    match checkpoint {
        None => Either::Left(work),
        Some(checkpoint) => Either::Right(Box::pin(announced(checkpoint, work))),
    }
}

async fn announced<F: Future>(checkpoint: Checkpoint, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| at(Some(checkpoint.clone()), || work.as_mut().poll(context))).await
}

/// Runs work that has a single step, announcing it.
pub fn at<T>(checkpoint: Option<Checkpoint>, work: impl FnOnce() -> T) -> T {
    if checkpoint.is_none() {
        return work();
    }
    let before = say(checkpoint);
    let done = work();
    say(before);
    done
}

/// Runs long work in another thread; `None` if it panicked. A process that polls in isolation does nothing else meanwhile.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if is_on() { std::thread::spawn(work).join().ok() } else { tokio::task::spawn_blocking(work).await.ok() }
}

/// Announces the current checkpoint; returns the previous one.
fn say(checkpoint: Option<Checkpoint>) -> Option<Checkpoint> {
    let mut now = AT.lock().unwrap_or_else(PoisonError::into_inner);
    if *now != checkpoint && line(&checkpoint).is_err() {
        // The parent is gone, and so is the run.
        std::process::exit(1);
    }
    std::mem::replace(&mut now, checkpoint)
}

/// Writes a line for the process that started this one.
pub fn line(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}
