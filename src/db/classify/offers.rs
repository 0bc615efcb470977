//! Undecided documents offered to external programs (event `document.undecided`), with the projects they can choose from.

use anyhow::Context;
use deadpool_postgres::Transaction;
use serde_json::{Map, Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::outbox::Event;

/// The event of a document that stays undecided.
pub const UNDECIDED: &str = "document.undecided";

/// A question about a document, for a program or a model endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub title: String,
    pub author: String,
    /// The beginning of its text.
    pub text: String,
    /// Open projects of its user, most likely first.
    pub projects: Vec<Offered>,
    /// Whether "none of them" can be chosen: not if a person removed that label.
    pub may_be_none: bool,
}

/// A project to choose from.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    /// The model's confidence, from 0 to 1; `None` if it does not know the project yet.
    pub confidence: Option<f32>,
}

/// The event that offers a document with this text.
pub(super) fn event(document: Uuid, user: Uuid, content_hash: &[u8], offer: &Offer) -> Event {
    let candidate =
        |p: &Offered| json!({ "project_id": p.id, "name": p.name, "description": p.description, "confidence": p.confidence });
    let about: Map<String, Value> = [
        ("content_hash".to_owned(), json!(data_encoding::HEXLOWER.encode(content_hash))),
        ("title".to_owned(), json!(offer.title)),
        ("author".to_owned(), json!(offer.author)),
        ("text".to_owned(), json!(offer.text)),
        ("candidates".to_owned(), offer.projects.iter().map(candidate).collect()),
        ("may_be_none".to_owned(), json!(offer.may_be_none)),
    ]
    .into_iter()
    .collect();
    Event { kind: UNDECIDED, document, user, project: None, about }
}

/// Records which labels were offered for the judged texts of these documents.
pub(super) async fn record_offers(tx: &Transaction<'_>, offers: &[(Uuid, &Offer)]) -> anyhow::Result<()> {
    let choices = |offer: &Offer| {
        let none = offer.may_be_none.then_some(Value::Null);
        offer.projects.iter().map(|project| json!(project.id)).chain(none).collect()
    };
    let (documents, choices): (Vec<Uuid>, Vec<Value>) =
        offers.iter().map(|(document, offer)| (*document, choices(offer))).unzip();
    tx.execute_typed(
        "UPDATE document_judgements j SET told_hash = j.content_hash, offered = t.offered
         FROM unnest($1::uuid[], $2::jsonb[]) AS t (document, offered) WHERE j.document_id = t.document",
        &[(&documents, Type::UUID_ARRAY), (&choices, Type::JSONB_ARRAY)],
    )
    .await
    .context("recording the documents offered to programs")?;
    Ok(())
}
