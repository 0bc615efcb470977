//! A user's mails in a real database, and what they truly are: the model knows it by a mark in each text, that no two texts share.

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
    /// By their places in `mail`.
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

    /// What the model is to know of all mails.
    pub fn truth(mail: &[Document]) -> Value {
        mail.iter()
            .enumerate()
            .map(|(place, document)| (mark(place), json!(document.label.as_deref().unwrap_or("none"))))
            .collect()
    }

    /// Mails come in, in one transaction.
    pub fn arrive(&mut self, world: &World, places: Range<usize>) {
        let ids = world.write(async |tx| {
            let mut ids = Vec::new();
            for place in places.clone() {
                let mail = &self.mail[place];
                let (id, body) = (format!("{}/{place}", self.address), format!("{} {}", mark(place), mail.body));
                let stored = Stored {
                    author: Some(&mail.sender),
                    details: json!({ "thread_id": mail.thread }),
                    ..email(self.user, &id, &mail.title, &body)
                };
                ids.push((place, documents::put(tx, &stored).await?.id));
            }
            Ok(ids)
        });
        self.ids.extend(ids);
    }

    /// Their user says of each what it is.
    pub fn say(&self, world: &World, places: Range<usize>) {
        let line = |(place, id): (&usize, &Uuid)| format!("{id} {}\n", self.mail[*place].label.as_deref().unwrap_or("--none"));
        let lines: String = self.ids.range(places).map(line).collect();
        world.syncctl_with_input(&["projects", "assign", "--stdin"], &lines).expect(0);
    }

    /// Those that are there, a line each.
    pub fn lines(&self) -> String {
        self.ids.values().map(|id| format!("{id}\n")).collect()
    }

    /// What holds for these mails: what they truly are, and what was decided by whom.
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
        self.ids.range(places).map(|(place, id)| (self.mail[*place].label(), decided.get(id).cloned())).collect()
    }
}

/// A word that stands in this mail alone.
fn mark(place: usize) -> String {
    format!("mark{place:05}q")
}
