//! Undecided documents that programs outside are told of (event `document.undecided`), with the projects that they may choose from.

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
    /// Open projects of its user, the likeliest first.
    pub projects: Vec<Offered>,
    /// Whether "none of them" may be chosen: not where a person took that away.
    pub may_be_none: bool,
}

/// A project to choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    /// The model's, from 0 to 1; `None`: it does not know the project yet.
    pub confidence: Option<f32>,
}

/// The event about a document with this text.
pub(super) fn event(document: Uuid, user: Uuid, content_hash: &[u8], offer: &Offer) -> Event {
    let candidate = |one: &Offered| json!({ "project_id": one.id, "name": one.name, "description": one.description, "confidence": one.confidence });
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

/// Writes down what was offered for the texts that the judgements of these documents hold for.
pub(super) async fn record_offers(tx: &Transaction<'_>, offers: &[(Uuid, &Offer)]) -> anyhow::Result<()> {
    let choices = |offer: &Offer| {
        let none = offer.may_be_none.then_some(Value::Null);
        offer.projects.iter().map(|one| json!(one.id)).chain(none).collect()
    };
    let (documents, choices): (Vec<Uuid>, Vec<Value>) =
        offers.iter().map(|(document, offer)| (*document, choices(offer))).unzip();
    tx.execute_typed(
        "UPDATE document_judgements j SET told_hash = j.content_hash, offered = t.offered
         FROM unnest($1::uuid[], $2::jsonb[]) AS t (document, offered) WHERE j.document_id = t.document",
        &[(&documents, Type::UUID_ARRAY), (&choices, Type::JSONB_ARRAY)],
    )
    .await
    .context("recording what programs were told of documents")?;
    Ok(())
}
