//! `accounts add-domain`: the users of a Workspace domain, for whom one service account may act.

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
use crate::{progress, services};

/// Users whose delegation is tried before anybody is stored: one alone may be a slip of the pen.
const TRIED: usize = 3;

#[derive(Debug, Args)]
pub struct DomainArgs {
    /// Key file (JSON) of a service account with domain-wide delegation
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Only say who would be added and who renewed
    #[arg(long)]
    dry_run: bool,
    /// Ask for a token for each user first: those whom Google refuses are named and not added
    #[arg(long)]
    check: bool,
}

/// What was done.
#[derive(Default, Serialize)]
struct Added {
    dry_run: bool,
    added: u64,
    /// Those who were there got the credentials anew.
    renewed: u64,
    /// Suspended or archived in the directory, and not added.
    left_out: u64,
    /// Whom Google does not let the service account act for: address, and why. With `--check` only.
    refused: Vec<(String, String)>,
    /// Line number of the list, and what is wrong with it.
    bad: Vec<(usize, String)>,
    /// Users here of the same project whom the directory does not have as active any more, and why.
    gone: Vec<(String, &'static str)>,
    /// Address, and `add` or `renew`. With `--dry-run` only.
    would: Vec<(String, &'static str)>,
}

/// Adds or renews everybody who is listed.
pub(super) async fn add(context: &Context, args: &DomainArgs, output: Output) -> anyhow::Result<Exit> {
    let credentials = key(context, &args.key)?;
    context.vault.writing_key()?;
    let mut people = People::open(context, &args.source, &credentials).await?;
    let mut done = Added { dry_run: args.dry_run, ..Added::default() };
    // Pages before the one that fails are stored.
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
        match args.dry_run {
            true => look_up(context, page, done).await?,
            false => store(context, credentials, page, done).await?,
        }
        bar.set_position(done.added + done.renewed + (done.refused.len() + done.would.len()) as u64);
        if context.stop.is_cancelled() {
            anyhow::bail!("told to stop");
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn key(context: &Context, file: &Path) -> anyhow::Result<Credentials> {
    let wrong = |what: &str| Fault::usage(format!("--key {}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
    let how = "make one at https://console.cloud.google.com/iam-admin/serviceaccounts (Keys, JSON)";
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

/// A token for this user, which shows that the domain allows it.
async fn token(context: &Context, credentials: &Credentials, subject: &str) -> Result<(), Failure> {
    let scopes = services::scopes(&context.settings);
    let ask = || oauth::refresh(&context.google, credentials, subject, &scopes, GrantHistory::default());
    with_backoff(&context.settings.engine, ask, |_| {}).await.map(drop)
}

/// Whether it is this user for whom no token is given.
fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.class, Class::AuthRevoked | Class::ClientRefused)
}

/// Fails if Google refuses every one of the first users: then the delegation is wrong, and storing thousands would help nobody.
async fn may_act(context: &Context, credentials: &Credentials, page: &[String]) -> anyhow::Result<()> {
    let mut refusal = None;
    for subject in page.iter().take(TRIED) {
        match token(context, credentials, subject).await {
            Ok(()) => return Ok(()),
            Err(failure) if is_refusal(&failure) => refusal = Some((subject, failure)),
            Err(failure) => return Err(failed(failure)),
        }
    }
    let Some((subject, failure)) = refusal else { return Ok(()) };
    let client = credentials.client_id();
    let delegation = remedies::delegation(client.as_slice(), &context.settings);
    let message = format!("nobody was added; tried {subject} and got {}. What to do: {delegation}", failure.message);
    Err(failed(Failure { message, ..failure }))
}

/// Those of the page for whom Google gives a token.
async fn allowed(
    context: &Context,
    credentials: &Credentials,
    page: Vec<String>,
    refused: &mut Vec<(String, String)>,
) -> anyhow::Result<Vec<String>> {
    let under_way = context.settings.engine.concurrency as usize;
    let asked = stream::iter(page).map(|subject| async move { (token(context, credentials, &subject).await, subject) });
    let mut answers = asked.buffered(under_way);
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

/// A page is one transaction: a commit for each of thousands of users would be most of the time.
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
            (done.gone.len() as u64, "here and gone from the directory"),
        ] {
            if count > 0 {
                lines.push(format!("{count} {what}"));
            }
        }
        lines.join("\n")
    })
}
