//! Read-only queries on documents (table `documents`): lists, a single document, and search. Independent of the services.

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Pool;
use crate::state::DocumentStatus;

/// A document in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub id: Uuid,
    pub user_id: Uuid,
    pub source: String,
    pub source_id: String,
    pub kind: String,
    pub status: DocumentStatus,
    pub version: i32,
    pub title: Option<String>,
    pub author: Option<String>,
    /// When it was received or last modified.
    pub occurred_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
}

/// The columns of an `Entry`, which come first in every query here.
const ENTRY: &str =
    "d.id, d.user_id, d.source, d.source_id, d.kind, d.status, d.version, d.title, d.author, d.occurred_at, d.updated_at";

fn entry(row: &Row) -> anyhow::Result<Entry> {
    Ok(Entry {
        id: row.try_get(0)?,
        user_id: row.try_get(1)?,
        source: row.try_get(2)?,
        source_id: row.try_get(3)?,
        kind: row.try_get(4)?,
        status: row.try_get(5)?,
        version: row.try_get(6)?,
        title: row.try_get(7)?,
        author: row.try_get(8)?,
        occurred_at: row.try_get(9)?,
        updated_at: row.try_get(10)?,
    })
}

/// Which documents to list; `None` matches all.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    pub user: Option<Uuid>,
    pub source: Option<&'a str>,
    pub status: Option<DocumentStatus>,
    /// Only those that changed within this many seconds.
    pub within_seconds: Option<f64>,
}

/// The documents `d` of a `Filter`.
const FILTERED: &str = "documents d
  WHERE ($1::uuid IS NULL OR d.user_id = $1) AND ($2::text IS NULL OR d.source = $2) AND ($3::text IS NULL OR d.status = $3)
    AND ($4::float8 IS NULL OR d.updated_at > now() - make_interval(secs => $4))";

impl Filter<'_> {
    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 4] {
        [(&self.user, Type::UUID), (&self.source, Type::TEXT), (&self.status, Type::TEXT), (&self.within_seconds, Type::FLOAT8)]
    }
}

/// Lists up to `limit` documents after the first `offset`, most recently changed first.
pub async fn list(pool: &Pool, filter: &Filter<'_>, (limit, offset): (i64, i64)) -> anyhow::Result<Vec<Entry>> {
    let [user, source, status, within] = filter.parameters();
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!("SELECT {ENTRY} FROM {FILTERED} ORDER BY d.updated_at DESC, d.id LIMIT $5 OFFSET $6"),
            &[user, source, status, within, (&limit, Type::INT8), (&offset, Type::INT8)],
        )
        .await
        .context("listing documents")?;
    rows.iter().map(entry).collect()
}

/// Counts the documents of a filter.
pub async fn count(pool: &Pool, filter: &Filter<'_>) -> anyhow::Result<i64> {
    let client = pool.get().await?;
    let row = client.query_typed_one(&format!("SELECT count(*) FROM {FILTERED}"), &filter.parameters()).await;
    Ok(row.context("counting documents")?.try_get(0)?)
}

/// A document with its text.
#[derive(Debug, Clone, Serialize)]
pub struct FullDocument {
    #[serde(flatten)]
    pub entry: Entry,
    pub project_id: Option<Uuid>,
    /// The project's name, if it is in `projects`.
    pub project: Option<String>,
    /// Who or what decided on its project, including "none of them".
    pub decided_by: Option<String>,
    pub mime_type: Option<String>,
    pub snippet: Option<String>,
    /// Why something is missing.
    pub note: Option<String>,
    pub details: Value,
    pub created_at: DateTime<Utc>,
    pub body: Option<String>,
}

/// Reads one document; `None` if none has this id.
pub async fn get(pool: &Pool, id: Uuid) -> anyhow::Result<Option<FullDocument>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            &format!(
                "SELECT {ENTRY}, d.project_id, d.mime_type, d.snippet, d.note, d.details, d.created_at, d.body, p.name, c.decided_by
                 FROM documents d LEFT JOIN projects p ON p.id = d.project_id LEFT JOIN document_projects c ON c.document_id = d.id WHERE d.id = $1"
            ),
            &[(&id, Type::UUID)],
        )
        .await
        .context("reading a document")?;
    row.map(|row| {
        Ok(FullDocument {
            entry: entry(&row)?,
            project_id: row.try_get(11)?,
            mime_type: row.try_get(12)?,
            snippet: row.try_get(13)?,
            note: row.try_get(14)?,
            details: row.try_get(15)?,
            created_at: row.try_get(16)?,
            body: row.try_get(17)?,
            project: row.try_get(18)?,
            decided_by: row.try_get(19)?,
        })
    })
    .transpose()
}

/// Marks around a matched word: two private-use characters, which texts do not normally contain.
pub const MARKS: [char; 2] = ['\u{f8f0}', '\u{f8f1}'];

/// A search result.
#[derive(Debug, Clone, Serialize)]
pub struct Hit {
    #[serde(flatten)]
    pub entry: Entry,
    /// How well it matches; comparable within one search.
    pub rank: f32,
    /// The matching passages, with matched words between `MARKS`.
    pub passages: String,
}

/// Searches documents with the query syntax of web search engines (`"a phrase"`, `or`, `-not`), best match first. Documents deleted at their
/// source are left out. `None`: the query contains no word to search for.
pub async fn search(pool: &Pool, query: &str, user: Option<Uuid>, limit: i64) -> anyhow::Result<Option<Vec<Hit>>> {
    let [start, stop] = MARKS;
    let options = format!("StartSel={start}, StopSel={stop}, MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=\" … \"");
    let client = pool.get().await?;
    let words = client
        .query_typed_one("SELECT numnode(websearch_to_tsquery('simple', $1))", &[(&query, Type::TEXT)])
        .await
        .context("reading a search query")?;
    if words.try_get::<_, i32>(0)? == 0 {
        return Ok(None);
    }
    let rows = client
        .query_typed(
            // Passages are extracted only from the documents shown, because that reads whole texts.
            &format!(
                "WITH query AS (SELECT websearch_to_tsquery('simple', $1) AS q),
                 best AS (
                   SELECT d.id, ts_rank_cd(d.search, q) AS rank FROM documents d, query
                   WHERE d.search @@ q AND d.status <> 'deleted' AND ($2::uuid IS NULL OR d.user_id = $2)
                   ORDER BY rank DESC, d.updated_at DESC, d.id LIMIT $3)
                 SELECT {ENTRY}, best.rank, ts_headline('simple', left(coalesce(d.body, d.snippet, d.title, ''), 100000), q, $4)
                 FROM best JOIN documents d ON d.id = best.id, query ORDER BY best.rank DESC, d.updated_at DESC, d.id"
            ),
            &[(&query, Type::TEXT), (&user, Type::UUID), (&limit, Type::INT8), (&options, Type::TEXT)],
        )
        .await
        .context("searching documents")?;
    rows.iter()
        .map(|row| Ok(Hit { entry: entry(row)?, rank: row.try_get(11)?, passages: row.try_get(12)? }))
        .collect::<anyhow::Result<_>>()
        .map(Some)
}
