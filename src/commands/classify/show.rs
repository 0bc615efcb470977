//! `syncctl classify explain`, `eval` and `review`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::classify::score::Score;
use crate::commands::{Output, table, users};
use crate::db::classify::review;
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::services::classify::explain::{self, Explained, Near};
use crate::services::classify::replay::{self, Replay};

pub(super) fn no_document(document: Uuid) -> Fault {
    Fault::usage(format!("no document {document}; see `syncctl documents list`"))
}

pub(super) async fn explain(context: &Context, document: Uuid, output: Output) -> anyhow::Result<Exit> {
    let named = review::existing(&context.pool, &[document]).await?.pop().ok_or_else(|| no_document(document))?;
    let explained = explain::explain(&context.pool, named.user, document).await?.ok_or_else(|| no_document(document))?;
    output.print(&explained, || explanation(&explained))?;
    Ok(Exit::Done)
}

fn explanation(explained: &Explained) -> String {
    let mut lines =
        vec![("document", format!("{} {:?}", explained.document, explained.title)), ("author", explained.author.clone())];
    lines.push(match &explained.holds {
        Some(holds) => ("decided", format!("{}, by {}", holds.label.name, holds.decided_by)),
        None => ("decided", "not yet".into()),
    });
    let now = &explained.now;
    lines.push(match (&now.label, now.by, now.confidence) {
        (Some(label), Some(by), Some(confidence)) => {
            ("now", format!("{}, by {by} (confidence {confidence:.2}): {}", label.name, now.reason))
        }
        _ if explained.holds.as_ref().is_some_and(|holds| holds.decided_by == "source") => ("now", now.reason.clone()),
        _ => ("now", format!("unsure: {}", now.reason)),
    });
    let near = |near: &Near| format!("{}, right {} of {} times before", near.label.name, near.right, near.of);
    if let Some(kin) = &explained.kin {
        lines.push(("kin", format!("same {}: {}", kin.what, near(kin))));
    }
    if let Some(sender) = &explained.sender {
        lines.push(("sender", format!("its last {} assignments: {}", sender.what, near(sender))));
    }
    let model = &explained.model;
    let threshold = model.threshold.map_or_else(|| "no threshold yet".into(), |threshold| format!("threshold {threshold:.2}"));
    lines.push((
        "model",
        format!(
            "version {}, {} assignments to {} projects (at least {} to 2 are needed), {threshold}",
            model.version, model.assignments, model.projects, model.needs
        ),
    ));
    let candidates = explained.candidates.iter().take(5).map(|one| format!("{} {:.2}", one.label.name, one.confidence));
    lines.push(("candidates", candidates.collect::<Vec<_>>().join(", ")));
    let words = explained.words.iter().map(|word| format!("{} +{:.2}", word.part, word.weight));
    lines.push(("words", words.collect::<Vec<_>>().join(", ")));
    let refused: Vec<&str> = explained.refused.iter().map(|label| label.name.as_str()).collect();
    lines.push(("refused", refused.join(", ")));
    let shown = lines.into_iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:<11}{}\n", value.replace(char::is_control, " "))).collect()
}

pub(super) async fn eval(context: &Context, name: &str, since: Option<DateTime<Utc>>, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, name).await?;
    let replay = replay::replay(&context.pool, user, since).await?;
    output.print(&figures(&replay), || evaluation(&replay))?;
    Ok(Exit::Done)
}

/// The scores of each method, with its name for display.
fn methods(replay: &Replay) -> [(&'static str, &Score); 3] {
    [("as decided", &replay.whole), ("sender alone", &replay.sender), ("without a threshold", &replay.eager)]
}

fn figures(replay: &Replay) -> Value {
    let share = |share: f64| Some(share).filter(|share| share.is_finite());
    let score = |score: &Score| {
        json!({
            "belong": score.belong, "given": score.given, "right": score.right, "precision": share(score.precision()),
            "coverage": share(score.coverage()), "precision_with_none": share(score.precision_with_none()),
        })
    };
    let wrong = replay.wrong.iter().map(|wrong| {
        let label = crate::db::classify::project;
        json!({
            "document": wrong.document, "said": label(wrong.said), "decided": label(wrong.decided), "by": wrong.by,
            "confidence": wrong.confidence,
        })
    });
    let mut figures = serde_json::Map::new();
    figures.extend(methods(replay).map(|(name, of)| (name.replace(' ', "_"), score(of))));
    figures.insert("wrong".into(), wrong.collect());
    Value::Object(figures)
}

fn evaluation(replay: &Replay) -> String {
    let percent = |share: f64| if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "-".into() };
    let mut table = table(&["method", "assigned", "of those that belong", "right", "of those assigned"]);
    for (name, score) in methods(replay) {
        table.add_row([
            name.to_owned(),
            score.given.to_string(),
            percent(score.coverage()),
            score.right.to_string(),
            percent(score.precision()),
        ]);
    }
    let by_method = replay.whole.by_method();
    let tail = if by_method.is_empty() {
        "nothing would have been decided yet".to_owned()
    } else {
        format!("right by method: {by_method}")
    };
    format!("{}\n{tail}\n", table.trim_fmt())
}

pub(super) async fn review(context: &Context, user: Option<&str>, limit: i64, output: Output) -> anyhow::Result<Exit> {
    let user = match user {
        Some(name) => Some(users::find(context, name).await?),
        None => None,
    };
    let (rows, total) = review::undecided(&context.pool, user, limit).await?;
    output.print(&json!({ "total": total, "documents": rows }), || {
        if rows.is_empty() {
            return "no undecided documents; `syncctl classify cron` classifies waiting documents".into();
        }
        let mut table = table(&["document", "user", "title", "perhaps", "confidence", "why not"]);
        for row in &rows {
            table.add_row([
                row.document_id.to_string(),
                row.email.clone(),
                row.title.clone().unwrap_or_default().replace(char::is_control, " "),
                row.best.clone().unwrap_or_default(),
                row.confidence.map(|confidence| format!("{confidence:.2}")).unwrap_or_default(),
                row.reason.clone(),
            ]);
        }
        format!("{}\n{} of {total}\n", table.trim_fmt(), rows.len())
    })?;
    Ok(Exit::Done)
}
