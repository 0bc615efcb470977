//! Passes that review many documents of a user in parts (table `classify_passes`).

use anyhow::Context;
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::TRAITS;
use crate::db::Pool;

/// Documents scanned for one part if few of them match; takes about a second.
const WINDOW: i64 = 20_000;
/// The same if about half of them can match.
const SMALL_WINDOW: i64 = 1_000;

/// Which documents of a user to review: the union of these conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// All documents on which no person has decided.
    pub everything: bool,
    /// Documents without any decision.
    pub undecided: bool,
    /// Documents that share thread, series, folder or sender with one of these.
    pub near: Vec<Uuid>,
}

impl Scope {
    pub fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    pub fn undecided() -> Self {
        Self { undecided: true, ..Self::default() }
    }

    pub fn near(documents: &[Uuid]) -> Self {
        Self { near: documents.to_vec(), ..Self::default() }
    }

    /// The union of both scopes.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.everything |= other.everything;
        self.undecided |= other.undecided;
        self.near.extend(&other.near);
        self
    }
}

/// A pass in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The last document that was reviewed.
    pub looked_to: Uuid,
    pub scope: Scope,
}

/// The user's pass in progress, if any.
pub async fn of(pool: &Pool, user: Uuid) -> anyhow::Result<Option<Pass>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "SELECT looked_to, everything, undecided, near FROM classify_passes WHERE user_id = $1",
            &[(&user, Type::UUID)],
        )
        .await
        .context("reading the progress of a pass")?;
    row.map(|row| {
        let scope = Scope { everything: row.try_get(1)?, undecided: row.try_get(2)?, near: row.try_get(3)? };
        Ok(Pass { looked_to: row.try_get(0)?, scope })
    })
    .transpose()
}

/// Begins a pass. A pass in progress restarts with these documents added to its scope.
pub async fn begin(tx: &Transaction<'_>, user: Uuid, scope: &Scope) -> anyhow::Result<()> {
    tx.execute_typed(
        "INSERT INTO classify_passes AS p (user_id, everything, undecided, near) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id) DO UPDATE SET looked_to = excluded.looked_to, everything = p.everything OR excluded.everything,
           undecided = p.undecided OR excluded.undecided, near = p.near || excluded.near",
        &[(&user, Type::UUID), (&scope.everything, Type::BOOL), (&scope.undecided, Type::BOOL), (&scope.near, Type::UUID_ARRAY)],
    )
    .await
    .context("beginning a pass")?;
    Ok(())
}

/// Records that a part is done; `to` is `None` after the last part. A pass that has restarted in the meantime is left unchanged.
pub async fn advance(tx: &Transaction<'_>, user: Uuid, from: Uuid, to: Option<Uuid>) -> anyhow::Result<()> {
    let statement = match to {
        Some(_) => "UPDATE classify_passes SET looked_to = $3 WHERE user_id = $1 AND looked_to = $2",
        None => "DELETE FROM classify_passes WHERE user_id = $1 AND looked_to = $2 AND $3::uuid IS NULL",
    };
    tx.execute_typed(statement, &[(&user, Type::UUID), (&from, Type::UUID), (&to, Type::UUID)])
        .await
        .context("advancing a pass")?;
    Ok(())
}

/// Returns up to `limit` documents of a pass, and the position after them; `None` at the end of the pass.
pub async fn part(pool: &Pool, user: Uuid, scope: &Scope, after: Uuid, limit: i64) -> anyhow::Result<(Vec<Uuid>, Option<Uuid>)> {
    let window = match scope {
        Scope { everything: true, .. } => limit,
        Scope { undecided: true, .. } => SMALL_WINDOW,
        Scope { .. } => WINDOW,
    };
    // Traits are read only if the scope needs them.
    let (traits, is_reference) = if scope.near.is_empty() {
        ("NULL::text, NULL::text, NULL::text, NULL::text", "false")
    } else {
        (TRAITS, "d.id = ANY ($4)")
    };
    let row = pool
        .get()
        .await?
        .query_typed_one(
            &format!(
                "WITH s (thread, series, folder, sender) AS (SELECT {traits} FROM documents d WHERE d.user_id = $1 AND {is_reference}),
                   w AS (SELECT d.* FROM documents d WHERE d.user_id = $1 AND d.id > $2 ORDER BY d.id LIMIT $3),
                   t (id, is_decided, thread, series, folder, sender) AS (
                     SELECT d.id, p.document_id IS NOT NULL, {traits} FROM w d LEFT JOIN document_projects p ON p.document_id = d.id
                     WHERE d.status <> 'deleted' AND NOT coalesce(p.decided_by = 'human', d.project_id IS NOT NULL)),
                   m AS (SELECT id FROM t WHERE $5 OR ($6 AND NOT is_decided) OR thread IN (SELECT thread FROM s) OR series IN (SELECT series FROM s)
                     OR folder IN (SELECT folder FROM s) OR sender IN (SELECT sender FROM s) ORDER BY id LIMIT $7)
                 SELECT ARRAY(SELECT id FROM m ORDER BY id), (SELECT count(*) FROM w), (SELECT id FROM w ORDER BY id DESC LIMIT 1), $4::uuid[] IS NULL"
            ),
            &[
                (&user, Type::UUID),
                (&after, Type::UUID),
                (&window, Type::INT8),
                (&scope.near, Type::UUID_ARRAY),
                (&scope.everything, Type::BOOL),
                (&scope.undecided, Type::BOOL),
                (&limit, Type::INT8),
            ],
        )
        .await
        .context("reading the next documents of a pass")?;
    let documents: Vec<Uuid> = row.try_get(0)?;
    let (seen, last): (i64, Option<Uuid>) = (row.try_get(1)?, row.try_get(2)?);
    let is_full = documents.len() as i64 == limit;
    let to = match (is_full, seen == window) {
        (true, _) => documents.last().copied(),
        (false, true) => last,
        (false, false) => None,
    };
    Ok((documents, to))
}
