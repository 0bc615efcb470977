//! Polls of a dry run: a whole pass is applied in one transaction that is never committed.

use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::Transaction;

use super::{Slice, Step};
use crate::engine::Source;
use crate::engine::outcome::PollEnd;
use crate::engine::page::is_idle;
use crate::engine::slice::Task;
use crate::error::Failure;

/// How often the transaction gives a sign of life while Google is asked: the server ends one that stands idle for longer than some of these.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

impl<S: Source> Slice<'_, S> {
    pub(super) async fn rehearse(&self, task: &mut Task) -> Result<Step, Failure> {
        task.begin_pass();
        let first = self.fetch(task).await;
        if matches!(&first, Ok(Some(page)) if is_idle(page, &task.row)) {
            return self.pages(task, first, None, None).await;
        }
        let mut turn = self.shared.stage.lock().await;
        if turn.is_none() {
            *turn = Some(Box::pin(self.shared.context.pool.get()).await?);
        }
        let Some(client) = turn.as_mut() else { return Ok(Step::Over(PollEnd::Interrupted)) };
        let mut tx = Box::pin(client.begin("beginning the dry run")).await?;
        self.pages(task, first, None, Some(&mut tx)).await
    }
}

/// Does `work` while the transaction of a dry run is open.
pub(super) async fn alive<T>(rehearsed: Option<&Transaction<'_>>, work: impl Future<Output = T>) -> T {
    let Some(tx) = rehearsed else { return work.await };
    let mut work = pin!(work);
    loop {
        match tokio::time::timeout(SIGN_OF_LIFE, &mut work).await {
            Ok(done) => return done,
            // If it is over, the next statement in it says so.
            Err(_) => drop(tx.batch_execute("SELECT 1").await),
        }
    }
}
