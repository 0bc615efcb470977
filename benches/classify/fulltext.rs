//! A baseline with PostgreSQL's full-text search on the same mails: the seven nearest earlier ones, by `ts_rank`. A mail gets their label
//! if nearly all of their weight agrees.

use std::collections::HashMap;

use postgres::Client;
use syncctl::classify::Label;
use syncctl::classify::score::Score;

use crate::corpus::Document;
use crate::support::postgres as server;

const NEAREST: i64 = 7;
/// The share of the neighbours' weight that must have one label.
const AGREED: f64 = 0.9;
/// Characters of a text. All words of a mail are part of its query; long mails would dominate the time.
const MAX_TEXT: usize = 1_000;

/// Matches any word of the queried text.
const ASK: &str = "SELECT past.label, ts_rank(past.words, question.words)::float8
  FROM (SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS words FROM unnest(to_tsvector('english', $1))) question
  JOIN past ON past.words @@ question.words ORDER BY 2 DESC, past.id DESC LIMIT $2";
const LEARN: &str = "INSERT INTO past (label, words) VALUES ($1, to_tsvector('english', $2))";

/// Each mail is queried, then its own label is learnt.
pub fn run(mail: &[Document]) -> Score {
    let database = server::shared().database();
    let mut client = database.connect();
    let past = "CREATE TABLE past (id bigserial PRIMARY KEY, label int NOT NULL, words tsvector NOT NULL); CREATE INDEX ON past USING gin (words);
      SET jit = off";
    client.batch_execute(past).expect("a table");
    let (mut score, mut labels): (Score, Vec<Label>) = (Score::default(), Vec::new());
    for document in mail {
        let text: String = format!("{} {}", document.title, document.body).chars().take(MAX_TEXT).collect();
        let text = text.replace('\0', " ");
        let said = nearest(&mut client, &text).map(|index| (labels[index], "nearest"));
        score.add(document.label(), said);
        let index = labels.iter().position(|label| *label == document.label()).unwrap_or_else(|| {
            labels.push(document.label());
            labels.len() - 1
        });
        client.execute(LEARN, &[&(index as i32), &text]).expect("a mail is learnt");
    }
    score
}

/// The label of the neighbours, by index, if they agree.
fn nearest(client: &mut Client, text: &str) -> Option<usize> {
    let rows = client.query(ASK, &[&text, &NEAREST]).expect("the nearest");
    let mut weights: HashMap<i32, f64> = HashMap::new();
    for row in &rows {
        *weights.entry(row.get(0)).or_default() += row.get::<_, f64>(1);
    }
    let (label, weight) = weights.iter().max_by(|one, other| one.1.total_cmp(other.1))?;
    let is_agreed = rows.len() as i64 == NEAREST && *weight >= AGREED * weights.values().sum::<f64>();
    is_agreed.then_some(*label as usize)
}
