//! Claims: which streams a run takes, and the data it receives with them (tables `streams`, `accounts`). Independent of Google.

mod unclaimed;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Pool;
use super::streams::{Changes, Position};

pub use unclaimed::{Unclaimed, Why, unclaimed};

pub(super) const LIST_DUE: &str = include_str!("sql/list_due_streams.sql");
const CLAIM: &str = concat!(
    include_str!("sql/claim_streams.sql"),
    "RETURNING ",
    include_str!("sql/stream_columns.sql"),
    ", q.unfetched, due.again, s.resync_asked_at IS NOT NULL, coalesce(s.passed_with <> $5, false), q.deadly"
);
const READ: &str = concat!(
    "SELECT ",
    include_str!("sql/stream_columns.sql"),
    ", NULL::text[], false, false, false, NULL::text[] FROM streams s LEFT JOIN accounts a ON a.user_id = s.user_id WHERE s.id = ANY ($1)"
);

/// A claimed row of `streams`, with the account used to poll it.
#[derive(Debug, Clone)]
pub struct StreamRow {
    pub id: i64,
    /// The owner: a user, or a project at Attendee.
    pub user_id: Uuid,
    pub kind: String,
    pub resource: String,
    pub position: Position,
    /// Number of full passes begun so far; the next pass gets the next number.
    pub pass_count: i64,
    pub full_pass_at: Option<DateTime<Utc>>,
    /// Seconds since its current series of failures began.
    pub failing_for: f64,
    pub changes: Changes,
    /// The user's activity, as of `weight_at`.
    pub weight: f64,
    pub weight_at: DateTime<Utc>,
    pub resyncs_today: i32,
    /// Seconds for which a channel still announces its changes.
    pub push_left: Option<f64>,
    /// Changes in a row that polls found without an announcement by the channel.
    pub push_missed: i32,
    /// Items that could not be fetched and are to be fetched again now.
    pub unfetched: Vec<String>,
    /// Items that are not read because each has killed two processes.
    pub deadly: Vec<String>,
    /// The same run has already polled it.
    pub again: bool,
    /// A complete pass was requested.
    pub resync: bool,
    /// Its last complete pass used other settings.
    pub outdated: bool,
    pub account: AccountRow,
}

/// The columns of `accounts` that a claim returns, so that an idle poll needs no further statement.
#[derive(Debug, Clone)]
pub struct AccountRow {
    pub user_id: Uuid,
    /// The project whose quota the calls count against: the account's Google project, or the id of the project at Attendee.
    pub project: String,
    pub access_token: Option<Vec<u8>>,
    /// Remaining seconds of the access token, by the database's clock.
    pub token_seconds: Option<f64>,
}

/// Which streams a run takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only streams of these users or projects; `None`: all.
    pub users: Option<Vec<Uuid>>,
    /// Include streams that are not due.
    pub force: bool,
    /// Only streams with an announcement that no poll has seen yet.
    pub pushed: bool,
    /// Only these (`streams.id`), which a separate process polls. `None`: all others, see `Due::apart`.
    pub apart: Option<Vec<i64>>,
}

/// Reads a row of `CLAIM` or `READ`. By index: lookup by name is noticeably slower over thousands of rows.
fn stream_of(row: &Row) -> anyhow::Result<StreamRow> {
    let user_id = row.try_get(1)?;
    Ok(StreamRow {
        id: row.try_get(0)?,
        user_id,
        kind: row.try_get(2)?,
        resource: row.try_get(3)?,
        position: Position {
            cursor: row.try_get(4)?,
            page_token: row.try_get(5)?,
            pinned: row.try_get(6)?,
            pass: row.try_get(7)?,
        },
        pass_count: row.try_get(8)?,
        full_pass_at: row.try_get(9)?,
        failing_for: row.try_get(10)?,
        changes: Changes { mass: row.try_get(11)?, at: row.try_get(12)?, since: row.try_get(20)?, shape: row.try_get(21)? },
        weight: row.try_get(13)?,
        resyncs_today: row.try_get(14)?,
        account: AccountRow {
            user_id,
            project: row.try_get(15)?,
            access_token: row.try_get(16)?,
            token_seconds: row.try_get(17)?,
        },
        push_left: row.try_get(18)?,
        weight_at: row.try_get(19)?,
        push_missed: row.try_get(22)?,
        unfetched: row.try_get::<_, Option<Vec<String>>>(23)?.unwrap_or_default(),
        again: row.try_get(24)?,
        resync: row.try_get(25)?,
        outdated: row.try_get(26)?,
        deadly: row.try_get::<_, Option<Vec<String>>>(27)?.unwrap_or_default(),
    })
}

/// The ids of due streams, in polling order.
#[derive(Debug, Default)]
pub struct Due {
    /// Streams with a cursor, the longest overdue first.
    pub polls: Vec<i64>,
    /// Streams that need a full pass, those at their first page first.
    pub passes: Vec<i64>,
    /// How many of `passes` are at their first page.
    pub firsts: usize,
    /// Streams of named users, due or not, that other runs hold.
    pub held: usize,
    /// A project of the service is paused, and its streams are excluded.
    pub paused: bool,
    /// Some accounts are refused, or some streams lack a scope or an API. Only set for a selection of all users.
    pub refused: bool,
    /// Streams to poll in a separate process, because the last two processes that held them died.
    pub apart: Vec<i64>,
}

/// Lists the due streams of a selection.
pub async fn list_due(pool: &Pool, run: Uuid, service: &str, selection: &Selection) -> anyhow::Result<Due> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            LIST_DUE,
            &[
                (&run, Type::UUID),
                (&service, Type::TEXT),
                (&selection.force, Type::BOOL),
                (&selection.users, Type::UUID_ARRAY),
                (&selection.pushed, Type::BOOL),
                (&selection.apart, Type::INT8_ARRAY),
            ],
        )
        .await
        .context("listing due streams")?;
    Due::of(&row, 0)
}

impl Due {
    /// Reads the columns of `list_due_streams.sql`, starting at `first_column`.
    pub(super) fn of(row: &Row, first_column: usize) -> anyhow::Result<Self> {
        let ids = |at: usize| row.try_get::<_, Option<Vec<i64>>>(first_column + at).map(Option::unwrap_or_default);
        let (firsts, held): (i64, i64) = (row.try_get(first_column + 2)?, row.try_get(first_column + 3)?);
        Ok(Self {
            polls: ids(0)?,
            passes: ids(1)?,
            firsts: usize::try_from(firsts)?,
            held: usize::try_from(held)?,
            paused: row.try_get(first_column + 4)?,
            refused: row.try_get(first_column + 5)?,
            apart: ids(6)?,
        })
    }
}

/// Reads streams with their accounts, whether claimed or not.
pub async fn read(pool: &Pool, ids: &[i64]) -> anyhow::Result<Vec<StreamRow>> {
    let rows = pool.get().await?.query_typed(READ, &[(&ids, Type::INT8_ARRAY)]).await.context("reading streams")?;
    rows.iter().map(stream_of).collect()
}

/// What to claim.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub run: Uuid,
    /// Seconds.
    pub lease: f64,
    /// `streams.id`, as returned by `list_due`.
    pub ids: &'a [i64],
    /// Include streams that are not due.
    pub force: bool,
    /// The settings that a complete pass would use now.
    pub settings: &'a serde_json::Value,
}

impl Claim<'_> {
    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 5] {
        [
            (&self.run, Type::UUID),
            (&self.lease, Type::FLOAT8),
            (&self.ids, Type::INT8_ARRAY),
            (&self.force, Type::BOOL),
            (self.settings, Type::JSONB),
        ]
    }
}

/// Claims those of the listed streams that are still due and free. Returns streams with a cursor before those that need a full pass.
pub async fn claim(pool: &Pool, claim: &Claim<'_>) -> anyhow::Result<Vec<StreamRow>> {
    let rows = pool.get().await?.query_typed(CLAIM, &claim.parameters()).await.context("claiming due streams")?;
    claimed(&rows)
}

/// Returns what a claim would take, without taking it. For dry runs.
pub async fn preview(pool: &Pool, claim: &Claim<'_>) -> anyhow::Result<Vec<StreamRow>> {
    let mut client = pool.get().await?;
    let tx = client.begin("beginning the preview").await?;
    let rows = tx.query_typed(CLAIM, &claim.parameters()).await.context("claiming due streams")?;
    tx.rollback().await.context("rolling the preview back")?;
    claimed(&rows)
}

fn claimed(rows: &[Row]) -> anyhow::Result<Vec<StreamRow>> {
    let mut rows: Vec<StreamRow> =
        rows.iter().map(stream_of).collect::<anyhow::Result<_>>().context("reading claimed streams")?;
    // RETURNING has no defined order.
    rows.sort_by_key(|row| row.position.cursor.is_none());
    Ok(rows)
}

#[cfg(test)]
impl StreamRow {
    /// A stream that has never been polled.
    pub fn example(id: i64, project: &str) -> Self {
        let (user_id, now) = (Uuid::from_u128(1), DateTime::UNIX_EPOCH);
        Self {
            id,
            user_id,
            kind: "kind".into(),
            resource: "resource".into(),
            position: Position::default(),
            pass_count: 0,
            full_pass_at: None,
            failing_for: 0.0,
            changes: Changes { mass: 0.0, at: now, since: now, shape: None },
            weight: 1.0,
            weight_at: now,
            resyncs_today: 0,
            push_left: None,
            push_missed: 0,
            unfetched: Vec::new(),
            deadly: Vec::new(),
            again: false,
            resync: false,
            outdated: false,
            account: AccountRow { user_id, project: project.to_owned(), access_token: None, token_seconds: None },
        }
    }
}
