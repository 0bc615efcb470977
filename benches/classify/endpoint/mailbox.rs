//! A user's mails in a real database, and their true projects: the model recognises them by a unique mark in each text.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde_json::{Value, json};
use syncctl::classify::Label;
use syncctl::db::documents::{self, Document as Stored};
use uuid::Uuid;

use crate::corpus::Document;
use crate::support::World;
use crate::support::library::email;

pub struct Mailbox<'a> {
    mail: &'a [Document],
    address: String,
    user: Uuid,
    /// By index in `mail`.
    ids: BTreeMap<usize, Uuid>,
}

impl<'a> Mailbox<'a> {
    /// A user with a project for each label.
    pub fn new(world: &World, address: &str, mail: &'a [Document]) -> Self {
        let user = world.user(address);
        let lines: std::collections::BTreeSet<String> = mail
            .iter()
            .filter_map(|document| document.label.as_deref())
            .map(|name| {
                json!({ "user": address, "name": name, "description": format!("Mails to the list {name}") }).to_string() + "\n"
            })
            .collect();
        world.syncctl_with_input(&["projects", "import", "-"], &lines.into_iter().collect::<String>()).expect(0);
        Self { mail, address: address.to_owned(), user, ids: BTreeMap::new() }
    }

    /// The model's truth about all mails.
    pub fn truth(mail: &[Document]) -> Value {
        mail.iter()
            .enumerate()
            .map(|(index, document)| (mark(index), json!(document.label.as_deref().unwrap_or("none"))))
            .collect()
    }

    /// Mails arrive, in one transaction.
    pub fn arrive(&mut self, world: &World, places: Range<usize>) {
        let ids = world.write(async |tx| {
            let mut ids = Vec::new();
            for index in places.clone() {
                let mail = &self.mail[index];
                let (id, body) = (format!("{}/{index}", self.address), format!("{} {}", mark(index), mail.body));
                let stored = Stored {
                    author: Some(&mail.sender),
                    details: json!({ "thread_id": mail.thread }),
                    ..email(self.user, &id, &mail.title, &body)
                };
                ids.push((index, documents::put(tx, &stored).await?.id));
            }
            Ok(ids)
        });
        self.ids.extend(ids);
    }

    /// Their user assigns each of them.
    pub fn say(&self, world: &World, places: Range<usize>) {
        let line = |(index, id): (&usize, &Uuid)| format!("{id} {}\n", self.mail[*index].label.as_deref().unwrap_or("--none"));
        let lines: String = self.ids.range(places).map(line).collect();
        world.syncctl_with_input(&["projects", "assign", "--stdin"], &lines).expect(0);
    }

    /// The stored ones, one per line.
    pub fn lines(&self) -> String {
        self.ids.values().map(|id| format!("{id}\n")).collect()
    }

    /// The state of these mails: their true project, the decision, and who made it.
    pub fn decisions(&self, world: &World, places: Range<usize>) -> Vec<(Label, Option<(Label, String)>)> {
        let rows = world.query(&format!(
            "SELECT d.document_id, d.decided_by, p.name FROM document_projects d LEFT JOIN projects p ON p.id = d.project_id
             WHERE d.user_id = '{}'",
            self.user
        ));
        let labels: HashMap<Option<&str>, Label> =
            self.mail.iter().map(|document| (document.label.as_deref(), document.label())).collect();
        let decided: HashMap<Uuid, (Label, String)> =
            rows.iter().map(|row| (row.get(0), (labels[&row.get::<_, Option<&str>>(2)], row.get(1)))).collect();
        self.ids.range(places).map(|(index, id)| (self.mail[*index].label(), decided.get(id).cloned())).collect()
    }
}

/// A word unique to this mail.
fn mark(index: usize) -> String {
    format!("mark{index:05}q")
}
