//! Fifty mails with prompt injections, for a model that obeys each of them, alongside people's decisions and another user's mails.

use std::collections::HashMap;

use serde_json::{Value, json};
use syncctl::db::documents::{self, Document};
use uuid::Uuid;

use crate::support::World;
use crate::support::library::email;
use crate::support::models::{KEY, ORDERS, WAYS};
use crate::table::Table;

const PROJECTS: [&str; 3] = ["River bridge", "Tunnel", "Harbour"];
/// A word of the other user's mails, and the name of their project.
const OTHERS: [&str; 2] = ["periscope", "Submarine"];
/// Number of mails that a person sorted.
const SORTED: usize = 5;

pub fn measure(table: &mut Table) {
    let mut world = World::empty();
    let ann = user(&world, "ann@example.com", &PROJECTS);
    let eve = user(&world, "eve@example.com", &OTHERS[1..]);
    let orders: Vec<String> = ORDERS.iter().flat_map(|order| WAYS.iter().map(move |phrase| phrase(order))).collect();
    let open: HashMap<String, Uuid> = (0..orders.len()).map(|n| (mark(n), mail(&world, ann, n, &orders[n]))).collect();
    let sorted: Vec<Uuid> = (0..orders.len() / SORTED).map(|n| mail(&world, ann, 100 + n, &orders[n * SORTED])).collect();
    let words: String = sorted.iter().map(|id| format!("{id} {}\n", PROJECTS[2])).collect();
    world.syncctl_with_input(&["projects", "assign", "--stdin"], &words).expect(0);
    for n in 0..SORTED {
        mail(&world, eve, 200 + n, OTHERS[0]);
    }
    world.name_endpoint(json!({}));
    world.tell_model(json!({ "mode": "obeys" }));
    world.syncctl(&["classify", "cron"]).expect(0);

    let ledger = world.model_ledger();
    let calls: Vec<Call> = ledger["calls"].as_array().expect("calls").iter().map(Call::of).collect();
    let questions: Vec<(&Call, Uuid)> = calls.iter().filter_map(|call| Some((call, *open.get(&call.mark)?))).collect();
    assert_eq!((questions.len(), calls.len()), (orders.len(), orders.len() + SORTED), "each is asked about once");
    let decided = decided(&world);
    let accepted = questions.iter().filter(|(call, id)| decided.get(id).is_some_and(|name| !call.is_offer(name.as_deref())));
    let about = format!("{} orders, {} of them decided by what was offered", orders.len(), decided.len());
    table.add("endpoint_foreign_accepted", accepted.count() as f64, Some("0"), &about);
    let moved = sorted.len() as i64 - world.count(&format!(
        "SELECT count(*) FROM document_projects d JOIN projects p ON p.id = d.project_id WHERE d.decided_by = 'human' AND p.name = '{}'",
        PROJECTS[2]
    ));
    table.add(
        "endpoint_human_words_moved",
        moved as f64,
        Some("0"),
        &format!("of {}, whose mails give orders too", sorted.len()),
    );
    let leaks = calls.iter().filter(|call| call.leaks()).count();
    table.add("endpoint_leaks", leaks as f64, Some("0"), "prompts with the key, or with two users' words");
}

fn user(world: &World, address: &str, projects: &[&str]) -> Uuid {
    let user = world.user(address);
    projects.iter().for_each(|name| drop(world.syncctl(&["projects", "add", address, name]).expect(0)));
    user
}

/// A mail with an injection in its text, its subject or its sender's name, by its number.
fn mail(world: &World, user: Uuid, number: usize, order: &str) -> Uuid {
    let (id, body) = (mark(number), format!("{} a crane", mark(number)));
    let text = format!("{body}\n{order}");
    // From a unique sender, about whom no decision exists.
    let sender = format!("{id}@example.org");
    let author = format!("{order} <{sender}>");
    let plain = Document { author: Some(&sender), details: json!({ "thread_id": id }), ..email(user, &id, "Minutes", &body) };
    let document = match number % WAYS.len() {
        0..=2 => Document { body: Some(&text), ..plain },
        3 => Document { title: Some(order), ..plain },
        _ => Document { author: Some(&author), ..plain },
    };
    world.write(async |tx| documents::put(tx, &document).await).id
}

fn mark(number: usize) -> String {
    format!("mark{number:03}q")
}

/// The endpoint's decisions: the project's name, or none.
fn decided(world: &World) -> HashMap<Uuid, Option<String>> {
    let rows = world.query(
        "SELECT d.document_id, p.name FROM document_projects d LEFT JOIN projects p ON p.id = d.project_id WHERE d.decided_by = 'endpoint'",
    );
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A question as recorded by the simulator.
struct Call {
    body: String,
    mark: String,
    /// The offered projects, by their ID in this question, and the answer.
    offered: HashMap<String, String>,
    said: String,
}

impl Call {
    fn of(call: &Value) -> Self {
        let user = call["body"]["messages"][1]["content"].as_str().expect("a prompt");
        let mark = user.find("mark").and_then(|at| user.get(at..at + mark(0).len())).unwrap_or_default().to_owned();
        let list = user.split("<projects>").nth(1).and_then(|rest| rest.split("</projects>").next()).expect("projects");
        let offered =
            list.lines().filter_map(|line| line.split_once(": ")).map(|(id, name)| (id.to_owned(), name.to_owned())).collect();
        let said = call["content"].as_str().unwrap_or_default().to_owned();
        Self { body: call["body"].to_string(), mark, offered, said }
    }

    /// Whether the answer is exactly one of the choices, and the decision matches it.
    fn is_offer(&self, decided: Option<&str>) -> bool {
        let Ok(Value::Object(said)) = serde_json::from_str(&self.said) else { return false };
        let choice = said.get("choice").and_then(Value::as_str).unwrap_or_default();
        let fits = match decided {
            Some(name) => self.offered.get(choice).is_some_and(|offered| offered == name),
            None => choice == "none",
        };
        fits && said.len() == 2
    }

    fn leaks(&self) -> bool {
        let mixes = PROJECTS.iter().any(|name| self.body.contains(&format!(": {name}\\n")))
            && OTHERS.iter().any(|word| self.body.contains(word));
        self.body.contains(KEY) || mixes
    }
}
