//! Says on standard output what this process is at, if it polls apart: before each step of each piece of work, whichever is taken up next.

use std::io::Write as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::{Either, poll_fn};
use serde::Serialize;

use super::Checkpoint;

static IS_ON: AtomicBool = AtomicBool::new(false);
static AT: Mutex<Option<Checkpoint>> = Mutex::new(None);

/// Lets this process say what it is at from now on, and die with the one that started it.
pub fn begin() {
    IS_ON.store(true, Ordering::Relaxed);
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        log::info!("this process may outlive the one that started it: {error}");
    }
}

/// Whether this process polls apart.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// A place to be announced; `None`: this process does not poll apart.
pub fn checkpoint(stream: i64, item: Option<&str>) -> Option<Checkpoint> {
    is_on().then(|| Checkpoint { stream, item: item.map(str::to_owned) })
}

/// The same work, of which each step is announced.
pub fn on<F: Future>(place: Option<Checkpoint>, work: F) -> Either<F, impl Future<Output = F::Output> + use<F>> {
    match place {
        None => Either::Left(work),
        Some(place) => Either::Right(Box::pin(announced(place, work))),
    }
}

async fn announced<F: Future>(place: Checkpoint, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| at(Some(place.clone()), || work.as_mut().poll(context))).await
}

/// The same for work in one step.
pub fn at<T>(place: Option<Checkpoint>, work: impl FnOnce() -> T) -> T {
    if place.is_none() {
        return work();
    }
    let before = say(place);
    let done = work();
    say(before);
    done
}

/// Work that takes long, in another thread; `None`: it panicked. A process that polls apart does nothing else meanwhile.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match is_on() {
        true => std::thread::spawn(work).join().ok(),
        false => tokio::task::spawn_blocking(work).await.ok(),
    }
}

/// Says where this process is; answers where it was.
fn say(place: Option<Checkpoint>) -> Option<Checkpoint> {
    let mut now = AT.lock().unwrap_or_else(PoisonError::into_inner);
    if *now != place && line(&place).is_err() {
        // Whoever started it is gone, and so is the run.
        std::process::exit(1);
    }
    std::mem::replace(&mut now, place)
}

/// Writes a line for the process that started this one.
pub fn line(told: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}
