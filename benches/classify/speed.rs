//! Documents of 2 KB, without a database, in one thread: wall-clock time and CPU time, which other load on the machine affects less.

use std::hint::black_box;

use syncctl::classify::Label;
use syncctl::classify::decide::{May, Neighbours};
use syncctl::classify::features::{Text, features};
use syncctl::classify::learner::Learner;

use crate::corpus::Document;
use crate::shared::figures::{median, timed};
use crate::table::Table;

const SIZE: usize = 2048;
const DOCUMENTS: usize = 5_000;
const ROUNDS: usize = 3;

pub fn measure(mail: &[Document], table: &mut Table) {
    let documents = pieces(mail, DOCUMENTS);
    let none = Neighbours::default();
    let mut learnt = Learner::default();
    let (seconds, cpu) = measured(|| {
        learnt = Learner::default();
        for (label, text) in &documents {
            learnt.learn(&features(&text_of(text)), &none, *label).expect("room for a label");
        }
    });
    table.add("learn_5000_s", seconds, Some("<= 1"), "5,000 documents of 2 KB");
    table.add("learn_5000_cpu_s", cpu, None, "");
    let (seconds, cpu) = measured(|| {
        for (_, text) in &documents {
            black_box(learnt.decide(&features(&text_of(text)), &none, |_| May::Given));
        }
    });
    table.add("judge_per_s", DOCUMENTS as f64 / seconds, Some(">= 10000"), "documents of 2 KB, by a model of 5,000");
    table.add("judge_per_cpu_s", DOCUMENTS as f64 / cpu, None, "");
}

/// Wall-clock and CPU seconds: medians of three rounds.
fn measured(mut work: impl FnMut()) -> (f64, f64) {
    let (seconds, cpu) = (0..ROUNDS)
        .map(|_| {
            let before = cpu_seconds();
            let (seconds, ()) = timed(&mut work);
            (seconds, cpu_seconds() - before)
        })
        .unzip();
    (median(seconds), median(cpu))
}

/// CPU time of the main thread, from Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("the process's own times");
    let nanoseconds: f64 = stat.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a number");
    nanoseconds / 1e9
}

fn text_of(body: &str) -> Text<'_> {
    Text { title: "", sender: "ada@example.com", body }
}

/// The concatenated mails of each list, in this many pieces.
pub fn pieces(mail: &[Document], count: usize) -> Vec<(Label, String)> {
    let mut texts: std::collections::BTreeMap<Label, String> = std::collections::BTreeMap::new();
    let mut pieces = Vec::new();
    for document in mail.iter().cycle() {
        let text = texts.entry(document.label()).or_default();
        text.push_str(&document.body);
        while text.len() >= SIZE {
            let rest = text.split_off(text.floor_char_boundary(SIZE));
            pieces.push((document.label(), std::mem::replace(text, rest)));
            if pieces.len() == count {
                return pieces;
            }
        }
    }
    unreachable!("a cycle of mails never ends")
}
