//! The library's own functions on a test's database: what services call inside their transactions.

use deadpool_postgres::Transaction;
use serde_json::{Map, Value, json};
use syncctl::config::Db;
use syncctl::db::conninfo::Target;
use syncctl::db::outbox::{self, Event};
use syncctl::db::{Pool, documents};
use uuid::Uuid;

use super::World;

impl World {
    /// Runs `work` in a transaction of the library's pool and commits it.
    pub fn write<T>(&self, work: impl AsyncFnOnce(&Transaction<'_>) -> anyhow::Result<T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime
            .block_on(async {
                let settings = Db::default();
                let pool = Pool::new(Target::parse(&self.url, None, settings.connect_timeout)?, &settings)?;
                let mut client = pool.get().await?;
                let tx = client.begin("beginning a test's transaction").await?;
                let result = work(&tx).await?;
                tx.commit().await?;
                Ok::<_, anyhow::Error>(result)
            })
            .expect("writing through the library")
    }

    /// Puts one event in the outbox for each of these documents, in this order; returns their ids.
    pub fn emit(&self, kind: &'static str, documents: &[Uuid]) -> Vec<Uuid> {
        let events: Vec<Event> = documents.iter().map(|document| event(kind, *document, Map::new())).collect();
        self.write(async |tx| outbox::emit(tx, &events).await);
        let ids = self.query("SELECT id FROM outbox_events ORDER BY seq");
        ids[ids.len() - documents.len()..].iter().map(|row| row.get(0)).collect()
    }

    /// A user with documents only.
    pub fn user(&self, email: &str) -> Uuid {
        let user = Uuid::new_v4();
        self.execute(&format!("INSERT INTO users (id, email) VALUES ('{user}', '{email}')"));
        user
    }

    /// Stores a document.
    pub fn document(&self, document: &documents::Document<'_>) -> Uuid {
        self.write(async |tx| documents::put(tx, document).await).id
    }
}

/// An event of another user's document.
pub fn event(kind: &'static str, document: Uuid, about: Map<String, Value>) -> Event {
    Event { kind, document, user: Uuid::new_v4(), project: None, about }
}

/// An e-mail with this subject and text.
pub fn email<'a>(user: Uuid, id: &'a str, title: &'a str, body: &'a str) -> documents::Document<'a> {
    documents::Document {
        id: None,
        user,
        source: "gmail",
        source_id: id,
        kind: "email",
        project: None,
        title: Some(title),
        author: Some("ann@example.com"),
        occurred_at: None,
        mime_type: None,
        snippet: None,
        body: Some(body),
        details: json!({}),
        note: None,
    }
}
