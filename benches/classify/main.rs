//! How often documents are assigned to the right project, on texts that people sorted. Prints a table and writes
//! `target/bench-classify.json`.
//!
//!     scripts/corpora && cargo bench --bench classify [-- net] [texts] [fulltext] [speed] [product] [endpoint]
//!
//! - mail: 4,150 mails of 13 mailing lists and of none of them, in order of arrival. Each is decided based on people's decisions about
//!   earlier ones, then its own label is learnt. For comparison, on the same mails: the sender rule only, the model without a threshold,
//!   PostgreSQL's full-text search, and, with `net`, scikit-learn's counts of words and neural net (`scripts/classify-net`), retrained from
//!   time to time
//! - bbc, changes: articles of five kinds; changelog entries by crate. There are neither threads nor senders: the model only
//! - a hundred articles learnt, and all others classified
//! - documents per second, and memory (in a separate process)
//! - the real binary with documents in a real PostgreSQL: documents per second, memory, and the statements of a run with nothing to do
//! - the same with the simulator's model endpoint: number of calls, binding budgets, injections, and a day without it
//!
//! Without arguments all parts are measured. Precision: of the documents that were assigned to a project, the share assigned to the right
//! one.
//! Coverage: of those that belong to a project, the share that was assigned, right or wrong. Constants of the model were chosen on bbc and
//! the first
//! half of the mails.

mod corpus;
mod endpoint;
mod fulltext;
#[path = "../../tests/it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}
mod memory;
mod net;
mod product;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;
mod speed;
mod stream;
mod table;

use corpus::Document;
use it::support;
use shared::figures;
use syncctl::classify::score::Score;
use table::Table;

const FILE: &str = "bench-classify.json";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if words == [memory::COMMAND] {
        return memory::learn_all();
    }
    let mail = corpus::read("mail");
    let chosen = |part: &str| words.iter().all(|word| word == "net") || words.iter().any(|word| word == part);
    let mut table = Table::default();
    if chosen("texts") {
        measure_mail(&mail, &mut table);
        measure_texts(&mut table);
    }
    if words.iter().any(|word| word == "net") {
        add_baseline("net", &net::run(&mail), "scikit-learn's counts and net, no threshold", &mut table);
    }
    if chosen("fulltext") {
        let about = "PostgreSQL's full-text search: the seven nearest, nine tenths of whose weight agree";
        add_baseline("fulltext", &fulltext::run(&mail), about, &mut table);
    }
    if chosen("speed") {
        speed::measure(&mail, &mut table);
        table.add("peak_rss_mib", memory::peak(), Some("<= 64"), "5,000 documents learnt, saved, loaded, judged");
    }
    if chosen("product") {
        product::measure(&mail, &mut table);
    }
    if chosen("endpoint") {
        endpoint::measure(&mail, &mut table);
    }
    figures::write(FILE, &table.figures());
}

/// Articles, and changelog entries.
fn measure_texts(table: &mut Table) {
    let bbc = corpus::read("bbc");
    for (name, documents) in [("bbc", &bbc), ("changes", &corpus::read("changes"))] {
        let score = stream::replay(documents, stream::product_rule);
        table.add(&format!("{name}_precision"), score.precision(), Some(">= 0.96"), &format!("{} documents", documents.len()));
        table.add(&format!("{name}_coverage"), score.coverage(), None, "");
    }
    table.add("bbc_cold_right", stream::cold(&bbc, 100), Some(">= 0.90"), "100 learnt, all others judged without a threshold");
}

/// Another classifier for the same mails.
fn add_baseline(name: &str, score: &Score, about: &str, table: &mut Table) {
    table.add(&format!("mail_{name}_precision"), score.precision(), None, about);
    table.add(&format!("mail_{name}_coverage"), score.coverage(), None, "");
}

fn measure_mail(mail: &[Document], table: &mut Table) {
    let score = stream::replay(mail, stream::product_rule);
    table.add("mail_precision", score.precision(), Some(">= 0.97"), &score.by_method());
    table.add("mail_coverage", score.coverage(), Some(">= 0.60"), "");
    table.add("mail_asked", score.undecided(), Some("<= 0.40"), "documents that an endpoint would be asked about, of all");
    table.add("mail_precision_with_none", score.precision_with_none(), None, "\"none of them\" counted as well");
    let second: Score = stream::replay_from(mail, mail.len() / 2, stream::product_rule);
    table.add("mail_second_half_precision", second.precision(), None, "no constant was chosen on it");
    table.add("mail_second_half_coverage", second.coverage(), None, "");
    for (name, rule, about) in [
        ("sender", stream::sender_alone as stream::Rule, "the last three or more of the sender alike, nothing else"),
        ("kin", stream::kin_alone, "the same thread, nothing else"),
        ("model", stream::model_alone, "the model, measured on the documents that neither kin nor sender decide"),
        ("no_threshold", stream::without_threshold, "kin, sender, then the model however unsure"),
    ] {
        let score = stream::replay(mail, rule);
        table.add(&format!("mail_{name}_precision"), score.precision(), None, about);
        table.add(&format!("mail_{name}_coverage"), score.coverage(), None, "");
    }
}
