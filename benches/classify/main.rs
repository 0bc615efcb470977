//! How often documents come into the right project, on texts that people sorted. Prints a table and writes `target/bench-classify.json`.
//!
//!     scripts/corpora && cargo bench --bench classify [-- net] [texts] [fulltext] [speed] [product] [endpoint]
//!
//! - mail: 4,150 mails of 13 mailing lists and of none of them, in order of arrival. Each is decided on by what people said of those before it,
//!   then its own label is learnt. Beside that, on the same mails: the sender rule alone, the model without a threshold, PostgreSQL's full-text search,
//!   and, with `net`, scikit-learn's counts of words and neural net (`scripts/classify-net`), learnt anew from time to time
//! - bbc, changes: articles of five kinds; entries of changelogs by crate. There are neither threads nor senders: the model alone
//! - a hundred articles learnt, and all others judged
//! - documents a second, and memory (a process of its own)
//! - the real binary over documents in a real PostgreSQL: documents a second, memory, and the statements of a run with nothing to do
//! - the same with the simulator's model endpoint: how much is asked, budgets that bind, injections, and a day without it
//!
//! Without names of parts all are measured. Precision: of the documents that were given a project, how many were given the right one. Coverage: of
//! those that belong into a project, how many were given one, right or wrong. Constants of the model were chosen on bbc and the first half of the mails.

mod corpus;
mod endpoint;
mod fulltext;
mod memory;
mod net;
mod product;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;
mod speed;
mod stream;
#[path = "../../tests/it/support/mod.rs"]
#[allow(dead_code)]
mod support;
mod table;

use corpus::Document;
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
        tell_mail(&mail, &mut table);
        tell_texts(&mut table);
    }
    if words.iter().any(|word| word == "net") {
        tell_baseline("net", &net::run(&mail), "scikit-learn's counts and net, no threshold", &mut table);
    }
    if chosen("fulltext") {
        let about = "PostgreSQL's full-text search: the seven nearest, nine tenths of whose weight agree";
        tell_baseline("fulltext", &fulltext::run(&mail), about, &mut table);
    }
    if chosen("speed") {
        speed::tell(&mail, &mut table);
        table.add("peak_rss_mib", memory::peak(), Some("<= 64"), "5,000 documents learnt, saved, loaded, judged");
    }
    if chosen("product") {
        product::tell(&mail, &mut table);
    }
    if chosen("endpoint") {
        endpoint::tell(&mail, &mut table);
    }
    figures::write(FILE, &table.figures());
}

/// Articles, and entries of changelogs.
fn tell_texts(table: &mut Table) {
    let bbc = corpus::read("bbc");
    for (name, documents) in [("bbc", &bbc), ("changes", &corpus::read("changes"))] {
        let score = stream::replay(documents, stream::whole);
        table.add(&format!("{name}_precision"), score.precision(), Some(">= 0.96"), &format!("{} documents", documents.len()));
        table.add(&format!("{name}_coverage"), score.coverage(), None, "");
    }
    table.add("bbc_cold_right", stream::cold(&bbc, 100), Some(">= 0.90"), "100 learnt, all others judged without a threshold");
}

/// Another way to sort the same mails.
fn tell_baseline(name: &str, score: &Score, about: &str, table: &mut Table) {
    table.add(&format!("mail_{name}_precision"), score.precision(), None, about);
    table.add(&format!("mail_{name}_coverage"), score.coverage(), None, "");
}

fn tell_mail(mail: &[Document], table: &mut Table) {
    let score = stream::replay(mail, stream::whole);
    table.add("mail_precision", score.precision(), Some(">= 0.97"), &score.by_way());
    table.add("mail_coverage", score.coverage(), Some(">= 0.60"), "");
    table.add("mail_asked", score.undecided(), Some("<= 0.40"), "documents that an endpoint would be asked about, of all");
    table.add("mail_precision_with_none", score.precision_with_none(), None, "\"none of them\" counted as well");
    let second: Score = stream::replay_from(mail, mail.len() / 2, stream::whole);
    table.add("mail_second_half_precision", second.precision(), None, "no constant was chosen on it");
    table.add("mail_second_half_coverage", second.coverage(), None, "");
    for (name, way, about) in [
        ("sender", stream::sender_alone as stream::Way, "the last three or more of the sender alike, nothing else"),
        ("kin", stream::kin_alone, "the same thread, nothing else"),
        ("model", stream::model_alone, "the model, measured on the documents that neither kin nor sender decide"),
        ("no_threshold", stream::without_threshold, "kin, sender, then the model however unsure"),
    ] {
        let score = stream::replay(mail, way);
        table.add(&format!("mail_{name}_precision"), score.precision(), None, about);
        table.add(&format!("mail_{name}_coverage"), score.coverage(), None, "");
    }
}
