//! The real binary with documents in a real PostgreSQL: documents classified per second, the memory of that run, and the statements of a
//! run with nothing to do.

use std::collections::BTreeSet;

use syncctl::classify::Label;
use uuid::Uuid;

use crate::corpus::Document;
use crate::shared::figures::median;
use crate::speed;
use crate::support::World;
use crate::table::Table;

/// Documents to classify, and assigned ones before them.
const DOCUMENTS: usize = 10_000;
const ASSIGNED: usize = 500;

pub fn measure(mail: &[Document], table: &mut Table) {
    let world = World::empty();
    fill(&world, mail);
    let report = world.syncctl(&["classify", "cron", "--json"]).expect(0).json();
    assert_eq!(world.count("SELECT count(*) FROM classify_queue"), 0, "all were judged");
    let judged = world.count("SELECT count(*) FROM document_judgements") as f64;
    let seconds = report["elapsed_ms"].as_f64().expect("a time") / 1_000.0;
    table.add("product_documents_per_s", judged / seconds, Some(">= 1500"), "of 2 KB, database and learning included");
    let mib = report["peak_rss_kib"].as_f64().unwrap_or(f64::NAN) / 1024.0;
    table.add("product_peak_rss_mib", mib, Some("<= 64"), "that run");
    let idle = (0..3).map(|_| {
        world.reset_statements();
        world.syncctl(&["classify", "cron"]).expect(0);
        world.statements() as f64
    });
    table.add("product_idle_statements", median(idle.collect()), Some("<= 3"), "a run with nothing to do");
}

/// Stores documents of all labels, queued as services do, and assigns some.
fn fill(world: &World, mail: &[Document]) {
    let user = world.user("ann@example.com");
    let pieces = speed::pieces(mail, ASSIGNED + DOCUMENTS);
    let labels: BTreeSet<Label> = pieces.iter().map(|(label, _)| *label).collect();
    let name = |label: Label| match label {
        Label::Project(id) => id.to_string(),
        Label::NoneOfThem => "--none".to_owned(),
    };
    for label in labels.iter().filter(|label| **label != Label::NoneOfThem) {
        world.syncctl(&["projects", "add", "ann@example.com", &name(*label)]).expect(0);
    }
    let mut client = world.database.connect();
    let mut tx = client.transaction().expect("a transaction");
    let (every, mut assigned) = (pieces.len() / ASSIGNED, String::new());
    for (index, (label, text)) in pieces.iter().enumerate() {
        let id = Uuid::now_v7();
        tx.execute(
            "INSERT INTO documents (id, user_id, source, source_id, kind, body, content_hash) VALUES ($1, $2, 'gmail', $4, 'email', $3, '')",
            &[&id, &user, text, &index.to_string()],
        )
        .expect("a document");
        if index % every == 0 {
            assigned += &format!("{id} {}\n", name(*label));
        }
    }
    tx.batch_execute("INSERT INTO classify_queue SELECT id, user_id FROM documents").expect("the queue");
    tx.commit().expect("the documents");
    world.syncctl_with_input(&["projects", "assign", "--stdin"], &assigned).expect(0);
    world.execute("ANALYZE");
}
