//! `accounts add-domain`: adds the users of a Workspace domain, for whom one service account may act.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::failed;
use super::people::{People, Source};
use crate::commands::{Output, complain, import, remedies, table};
use crate::db::accounts;
use crate::engine::Context;
use crate::engine::retry::with_backoff;
use crate::error::{Class, Exit, Failure, Fault};
use crate::google::oauth::{self, Credentials};
use crate::google::verdict::GrantHistory;
use crate::progress;
use crate::services::registry;

/// Number of users whose delegation is tested before any user is stored. A single address may be a typo.
const TEST_USERS: usize = 3;

#[derive(Debug, Args)]
pub struct DomainArgs {
    /// Key file (JSON) of a service account with domain-wide delegation
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Print who would be added and who renewed; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Request a token for each user first; report users whom Google refuses and do not add them
    #[arg(long)]
    check: bool,
}

/// The result.
#[derive(Default, Serialize)]
struct Added {
    dry_run: bool,
    added: u64,
    /// Existing users, whose credentials were replaced.
    renewed: u64,
    /// Not added because they are suspended or archived in the directory.
    left_out: u64,
    /// Users whom Google does not let the service account act for: address and reason. With `--check` only.
    refused: Vec<(String, String)>,
    /// Line number in the list, and what is wrong with the line.
    bad: Vec<(usize, String)>,
    /// Stored users of the same project who are no longer active in the directory: address and reason.
    gone: Vec<(String, &'static str)>,
    /// Address, and `add` or `renew`. With `--dry-run` only.
    would: Vec<(String, &'static str)>,
}

/// Adds or renews every listed user.
pub(super) async fn add(context: &Context, args: &DomainArgs, output: Output) -> anyhow::Result<Exit> {
    let credentials = key(context, &args.key)?;
    context.vault.writing_key()?;
    let mut people = People::open(context, &args.source, &credentials).await?;
    let mut done = Added { dry_run: args.dry_run, ..Added::default() };
    // Pages before a failing one stay stored.
    pages(context, args, &credentials, &mut people, &mut done).await.with_context(|| {
        format!("stopped after {} users were added and {} renewed; run it again for the rest", done.added, done.renewed)
    })?;
    (done.left_out, done.bad, done.gone) = people.end(context, &credentials).await?;
    print_summary(&done, output)?;
    Ok(match (done.refused.len() as u64, done.added + done.renewed + done.would.len() as u64) {
        (1.., 0) => Exit::Refused,
        (0, _) if done.bad.is_empty() => Exit::Done,
        _ => Exit::SomeFailed,
    })
}

async fn pages(
    context: &Context,
    args: &DomainArgs,
    credentials: &Credentials,
    people: &mut People,
    done: &mut Added,
) -> anyhow::Result<()> {
    let bar = progress::accounts(0);
    let mut first = true;
    while let Some(mut page) = people.next(context).await? {
        bar.inc_length(page.len() as u64);
        if std::mem::take(&mut first) && !args.check && !args.dry_run {
            may_act(context, credentials, &page).await?;
        }
        if args.check {
            page = allowed(context, credentials, page, &mut done.refused).await?;
        }
        if args.dry_run {
            look_up(context, page, done).await?
        } else {
            store(context, credentials, page, done).await?
        }
        bar.set_position(done.added + done.renewed + (done.refused.len() + done.would.len()) as u64);
        if context.stop.is_cancelled() {
            anyhow::bail!("stopped by a signal");
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn key(context: &Context, file: &Path) -> anyhow::Result<Credentials> {
    let wrong = |what: &str| Fault::usage(format!("--key {}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
    let how = "create one at https://console.cloud.google.com/iam-admin/serviceaccounts (Keys, JSON)";
    let read = serde_json::from_str(&text).map_err(|_| wrong(&format!("not the JSON key of a service account; {how}")))?;
    match read {
        Credentials::ServiceAccount { .. } => {}
        Credentials::AuthorizedUser { .. } => {
            return Err(wrong(&format!("a person's credentials, not a service account's key; {how}")).into());
        }
    }
    read.problem(&context.google).map_or(Ok(()), |problem| Err(wrong(&problem)))?;
    Ok(read)
}

/// Requests a token for this user, which proves that the domain allows it.
async fn token(context: &Context, credentials: &Credentials, subject: &str) -> Result<(), Failure> {
    let scopes = registry::scopes(&context.settings);
    let ask = || oauth::refresh(&context.google, credentials, subject, &scopes, GrantHistory::default());
    with_backoff(&context.settings.engine, ask, |_| {}).await.map(drop)
}

/// Whether Google refuses a token for this user in particular.
fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.class, Class::AuthRevoked | Class::ClientRefused)
}

/// Fails if Google refuses all of the first users: then the delegation is wrong, and storing thousands of users would be useless.
async fn may_act(context: &Context, credentials: &Credentials, page: &[String]) -> anyhow::Result<()> {
    let mut refusal = None;
    for subject in page.iter().take(TEST_USERS) {
        match token(context, credentials, subject).await {
            Ok(()) => return Ok(()),
            Err(failure) if is_refusal(&failure) => refusal = Some((subject, failure)),
            Err(failure) => return Err(failed(failure)),
        }
    }
    let Some((subject, failure)) = refusal else { return Ok(()) };
    let client = credentials.client_id();
    let delegation = remedies::delegation(client.as_slice(), &context.settings);
    let message = format!("no user was added; tried {subject} and got {}. What to do: {delegation}", failure.message);
    Err(failed(Failure { message, ..failure }))
}

/// Returns the users of the page for whom Google issues a token.
async fn allowed(
    context: &Context,
    credentials: &Credentials,
    page: Vec<String>,
    refused: &mut Vec<(String, String)>,
) -> anyhow::Result<Vec<String>> {
    let under_way = context.settings.engine.concurrency as usize;
    let checks = stream::iter(page).map(|subject| async move { (token(context, credentials, &subject).await, subject) });
    let mut answers = checks.buffered(under_way);
    let mut good = Vec::new();
    while let Some((answer, subject)) = answers.next().await {
        match answer {
            Ok(()) => good.push(subject),
            Err(failure) if is_refusal(&failure) => refused.push((subject, failure.message)),
            Err(failure) => return Err(failed(failure)),
        }
    }
    Ok(good)
}

async fn look_up(context: &Context, page: Vec<String>, done: &mut Added) -> anyhow::Result<()> {
    let names: Vec<&str> = page.iter().map(String::as_str).collect();
    let known = accounts::find(&context.pool, &names).await?;
    done.would.extend(page.into_iter().zip(known).map(|(email, known)| (email, if known.is_some() { "renew" } else { "add" })));
    Ok(())
}

/// Stores a page in one transaction: with a commit per user, commits would dominate the run time for thousands of users.
async fn store(context: &Context, credentials: &Credentials, page: Vec<String>, done: &mut Added) -> anyhow::Result<()> {
    let mut client = context.pool.get().await?;
    let tx = client.begin("beginning a page of users").await?;
    let (mut added, mut renewed) = (0, 0);
    for email in &page {
        let (_, new) = import::put(&tx, &context.vault, &import::New::of(email), credentials.clone()).await?;
        if new { added += 1 } else { renewed += 1 }
    }
    tx.commit().await.context("committing a page of users")?;
    done.added += added;
    done.renewed += renewed;
    Ok(())
}

fn print_summary(done: &Added, output: Output) -> anyhow::Result<()> {
    for (line, wrong) in &done.bad {
        complain(format!("line {line}: {wrong}"));
    }
    for (email, why) in &done.refused {
        complain(format!("{email} not added: {why}"));
    }
    for (email, why) in &done.gone {
        complain(format!("{email} is {why}; `syncctl accounts remove {email}` removes what was synced"));
    }
    output.print(done, || {
        let mut lines = Vec::new();
        if done.dry_run {
            let mut table = table(&["email", "would"]);
            for (email, would) in &done.would {
                table.add_row([email.as_str(), would]);
            }
            lines.push(table.trim_fmt());
            let adds = done.would.iter().filter(|(_, would)| *would == "add").count();
            lines.push(format!("{adds} would be added, {} renewed", done.would.len() - adds));
        } else {
            lines.push(format!("{} added, {} renewed", done.added, done.renewed));
        }
        for (count, what) in [
            (done.left_out, "suspended or archived and left out"),
            (done.refused.len() as u64, "refused by Google"),
            (done.bad.len() as u64, "bad lines"),
            (done.gone.len() as u64, "stored here but gone from the directory"),
        ] {
            if count > 0 {
                lines.push(format!("{count} {what}"));
            }
        }
        lines.join("\n")
    })
}
