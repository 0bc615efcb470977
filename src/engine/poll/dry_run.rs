//! Polls in a dry run: a whole pass is applied in one transaction that is never committed.

use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::Transaction;

use super::transition::Answer;
use super::{Slice, Step};
use crate::engine::Source;
use crate::engine::outcome::PollEnd;
use crate::engine::page::is_idle;
use crate::engine::slice::Task;
use crate::error::Failure;

/// How often the transaction sends a keep-alive while Google is called: the server ends transactions that stay idle for longer than a few of these.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

impl<S: Source> Slice<'_, S> {
    pub(super) async fn dry_run(&self, task: &mut Task) -> Result<Step, Failure> {
        task.begin_pass();
        let first = self.fetch(task).await;
        if matches!(&first, Answer::Page(page) if is_idle(page, &task.row.position)) {
            return self.pages(task, first, None, None).await;
        }
        let mut turn = self.shared.stage.lock().await;
        if turn.is_none() {
            *turn = Some(Box::pin(self.shared.context.pool.get()).await?);
        }
        let Some(client) = turn.as_mut() else { return Ok(Step::Ended(PollEnd::Interrupted)) };
        let mut tx = Box::pin(client.begin("beginning the dry run")).await?;
        self.pages(task, first, None, Some(&mut tx)).await
    }
}

/// Does `work` while keeping the transaction of a dry run alive.
pub(super) async fn alive<T>(dry_run_tx: Option<&Transaction<'_>>, work: impl Future<Output = T>) -> T {
    let Some(tx) = dry_run_tx else { return work.await };
    let mut work = pin!(work);
    loop {
        match tokio::time::timeout(KEEP_ALIVE, &mut work).await {
            Ok(done) => return done,
            // If the transaction has ended, its next statement reports that.
            Err(_) => drop(tx.batch_execute("SELECT 1").await),
        }
    }
}
