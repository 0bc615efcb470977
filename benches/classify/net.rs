//! A baseline with scikit-learn's counts of words and neural net on the same mails: `scripts/classify-net`, which writes a label per line.

use std::process::{Command, Stdio};

use syncctl::classify::Label;
use syncctl::classify::score::Score;

use crate::corpus::{self, Document};

pub fn run(mail: &[Document]) -> Score {
    let output = Command::new("scripts/classify-net")
        .arg(corpus::figures_path("corpora/mail.jsonl"))
        .stderr(Stdio::inherit())
        .output()
        .expect("scripts/classify-net starts");
    assert!(output.status.success(), "scripts/classify-net failed");
    let said = String::from_utf8(output.stdout).expect("text");
    let said: Vec<Option<usize>> = said.lines().map(|line| line.parse().ok()).collect();
    assert_eq!(said.len(), mail.len(), "one line a mail");
    let mut score = Score::default();
    for (document, said) in mail.iter().zip(said) {
        // A label is named by the first mail that has it.
        let label: Option<Label> = said.map(|first| mail[first].label());
        score.add(document.label(), label.map(|label| (label, "net")));
    }
    score
}
