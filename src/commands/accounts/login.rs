//! `accounts login`: a user allows syncctl to read their data, in their own browser.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use clap::builder::PossibleValuesParser;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::failed;
use super::landing::{Landing, Page};
use crate::commands::confirm::typed;
use crate::commands::{Output, complain, hints, import};
use crate::config::duration;
use crate::engine::Context;
use crate::error::{Class, Exit, Failure, Fault};
use crate::google::consent::{Answer, App, Consent, Granted};
use crate::progress::above_bars as ask;
use crate::services::{Registered, registry};

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Account to log in; any other account chosen on Google's page is refused (default: accept any account)
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// JSON file of an OAuth client of type "Desktop app" [default: the setting google.client_file]
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,
    /// Ask for this service only; may be repeated; replaces what was allowed before [default: all enabled services]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(registry::registered().map(|service| service.service)))]
    service: Vec<String>,
    /// Do not open a browser: open the printed address anywhere, then paste the final address from that browser, or the code in it
    #[arg(long)]
    no_browser: bool,
    /// Maximum time to wait for the consent, such as 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: Duration,
}

/// The result of a login.
#[derive(Serialize)]
struct LoggedIn {
    user_id: Uuid,
    email: String,
    /// False if the user existed and has new credentials.
    added: bool,
    services: Vec<&'static str>,
    /// Services that were requested but not allowed.
    missing: Vec<&'static str>,
}

/// Asks for consent, waits for it, and stores what was allowed.
pub(super) async fn login(context: &Context, args: &LoginArgs, output: Output) -> anyhow::Result<Exit> {
    let requested: Vec<&Registered> =
        registry::enabled(&context.settings).filter(|service| is_requested(args, service)).collect();
    if requested.is_empty() {
        return Err(Fault::usage("no service to request: those named by --service are switched off in the settings").into());
    }
    let app = app(args.client.as_deref(), &context.settings.google.client_file)?;
    // From here on a signal ends the wait: let its handler start before the user is asked to do anything.
    tokio::task::yield_now().await;
    // Do not send users to the consent page if their answer could not be stored.
    context.vault.writing_key()?;
    let ended = if args.no_browser {
        by_hand(context, args, &requested, app).await?
    } else {
        by_browser(context, args, &requested, app).await?
    };
    output.print(&ended, || {
        let done = if ended.added { "added" } else { "renewed" };
        format!("{done} {}: {}", ended.email, ended.services.join(", "))
    })?;
    for service in &ended.missing {
        complain(format!(
            "{service} was not allowed and is not synced for this user until `syncctl accounts login --email {}` allows it",
            ended.email
        ));
    }
    let look = ended.services.iter().find_map(|service| registry::find(service)?.look);
    let look = look.map(|look| format!(", `syncctl {look} {}` shows it", ended.email)).unwrap_or_default();
    hints::next(output, &format!("`syncctl sync user {}` fetches the data{look}", ended.email));
    Ok(Exit::Done)
}

fn is_requested(args: &LoginArgs, service: &Registered) -> bool {
    args.service.is_empty() || args.service.iter().any(|name| name == service.service)
}

/// The OAuth client in the file that the command line or the settings name.
pub(super) fn app(flag: Option<&Path>, setting: &Path) -> anyhow::Result<App> {
    let (file, wrong): (_, fn(String) -> Fault) = match flag {
        Some(file) => (file, |what| Fault::usage(format!("--client {what}"))),
        None if setting.as_os_str().is_empty() => return Err(Fault::settings(App::missing()).into()),
        None => (setting, |what| Fault::settings(format!("google.client_file {what}"))),
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
    Ok(App::parse(&text).map_err(|error| wrong(format!("{}: {error}", file.display())))?)
}

fn question(context: &Context, args: &LoginArgs, requested: &[&Registered], app: App, back: &str) -> anyhow::Result<Consent> {
    let scopes: Vec<&str> = requested.iter().map(|service| service.scope).collect();
    Consent::new(&context.google, app, back, &scopes, args.email.as_deref())
}

async fn by_browser(
    context: &Context,
    args: &LoginArgs,
    requested: &[&'static Registered],
    app: App,
) -> anyhow::Result<LoggedIn> {
    let mut landing = Landing::open().await?;
    let consent = question(context, args, requested, app, &landing.origin)?;
    if has_screen() && open::that_detached(consent.url().as_str()).is_ok() {
        ask(&format!("Your browser opens Google's consent page. If it does not, open this address:\n{}\n", consent.url()))
    } else {
        ask(&format!("Open this address in a browser on this machine (on another one: --no-browser):\n{}\n", consent.url()))
    }
    let ended = arrived(context, args, requested, consent, &mut landing).await;
    landing.close().await?;
    ended
}

/// Waits for the browser that answers this login. Other browsers get an explanation and do not end the wait.
async fn arrived(
    context: &Context,
    args: &LoginArgs,
    requested: &[&'static Registered],
    consent: Consent,
    landing: &mut Landing,
) -> anyhow::Result<LoggedIn> {
    let time = tokio::time::sleep(args.timeout);
    tokio::pin!(time);
    loop {
        let arrival = tokio::select! {
            arrival = landing.arrivals.recv() => arrival.context("the loopback server has ended")?,
            () = context.stop.cancelled() => return Err(stopped()),
            () = &mut time => return Err(too_late(args.timeout)),
        };
        let (ended, page) = match consent.answer(&arrival.query) {
            Answer::Foreign => {
                complain("a browser arrived that does not answer this login; still waiting for yours");
                let text = "This page was opened without an answer to the login that waits here, so nothing was stored. Use the page that syncctl opened, or start it again in the terminal.";
                let _ = arrival.reply.send(Page { good: false, title: "Not the answer to this login", text: text.into() });
                continue;
            }
            Answer::Refused(reason) => {
                let text = format!("Nothing was allowed ({reason}), and nothing was stored. You can close this page.");
                (Err(refused(&reason)), Page { good: false, title: "Access was refused", text })
            }
            Answer::Code(code) => {
                let ended = complete(context, args, requested, consent, code).await;
                let page = match &ended {
                    Ok(done) => good_page(done),
                    Err(error) => {
                        Page { good: false, title: "Nothing was stored", text: format!("{error:#}. The terminal says the same.") }
                    }
                };
                (ended, page)
            }
        };
        // Ignore a browser that went away: it does not change the result.
        let _ = arrival.reply.send(page);
        return ended;
    }
}

fn good_page(done: &LoggedIn) -> Page {
    let mut text = format!("syncctl may now read for {}: {}.", done.email, done.services.join(", "));
    if !done.missing.is_empty() {
        text.push_str(&format!(" Not allowed, and not synced until you log in again: {}.", done.missing.join(", ")));
    }
    text.push_str(" You can close this page.");
    Page { good: true, title: "Access granted", text }
}

/// Whether the waiting user would see a browser window.
fn has_screen() -> bool {
    let display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    std::io::stderr().is_terminal() && (display || cfg!(target_os = "macos"))
}

async fn by_hand(context: &Context, args: &LoginArgs, requested: &[&'static Registered], app: App) -> anyhow::Result<LoggedIn> {
    // Nothing listens there: only the address that the browser shows matters. Any free port will do.
    let back = Landing::open().await?;
    let origin = back.origin.clone();
    back.close().await?;
    let consent = question(context, args, requested, app, &origin)?;
    ask(&format!(
        "Open this address in any browser:\n{}\nIt ends at an address on 127.0.0.1 that cannot be reached. Copy that address, or the code in it, from the address bar.\n",
        consent.url()
    ));
    if std::io::stdin().is_terminal() {
        ask("Address or code: ");
    }
    let line = tokio::select! {
        line = typed() => line.context("the reader of standard input has ended")?.context("reading standard input")?,
        () = context.stop.cancelled() => return Err(stopped()),
        () = tokio::time::sleep(args.timeout) => return Err(too_late(args.timeout)),
    };
    match consent.pasted(&line) {
        Answer::Code(code) => complete(context, args, requested, consent, code).await,
        Answer::Refused(reason) => Err(refused(&reason)),
        Answer::Foreign if line.trim().is_empty() => {
            Err(Fault::usage("no code or address on standard input: paste what the browser shows when it ends").into())
        }
        Answer::Foreign => {
            let what = "what was pasted is neither a code nor an address that answers this login (its state differs); nothing was stored, start again";
            Err(Fault::usage(what).into())
        }
    }
}

fn refused(reason: &str) -> anyhow::Error {
    Fault::refused(format!("access was refused on Google's page ({reason}); nothing was stored")).into()
}

fn stopped() -> anyhow::Error {
    anyhow::anyhow!("stopped before the consent came; nothing was stored")
}

fn too_late(timeout: Duration) -> anyhow::Error {
    let waited = duration::text(timeout);
    Fault::unavailable(format!(
        "no consent within {waited}; nothing was stored. Start again, with a longer --timeout if necessary"
    ))
    .into()
}

/// Exchanges the code, finds out who consented to what, and stores the credentials if they match the request.
async fn complete(
    context: &Context,
    args: &LoginArgs,
    requested: &[&'static Registered],
    consent: Consent,
    code: String,
) -> anyhow::Result<LoggedIn> {
    let Granted { credentials, access_token, scopes } = consent.exchange(&context.google, code).await.map_err(failed)?;
    let (allowed, missing): (Vec<&Registered>, Vec<_>) =
        requested.iter().copied().partition(|service| scopes.iter().any(|scope| scope == service.scope));
    if allowed.is_empty() {
        let what = "nothing was ticked on Google's page, so there is nothing to sync; nothing was stored. Log in again and tick the requested services";
        return Err(Fault::refused(what).into());
    }
    let email = who(context, &allowed, &access_token).await.map_err(failed)?;
    if let Some(expected) = args.email.as_ref().filter(|expected| !expected.eq_ignore_ascii_case(&email)) {
        let what =
            format!("{email} consented, not {expected}; nothing was stored. Log in again and choose {expected} on Google's page");
        return Err(Fault::refused(what).into());
    }
    let (user_id, added) = import::add(context, &import::New::of(&email), credentials).await?;
    let names = |of: &[&Registered]| of.iter().map(|service| service.service).collect();
    Ok(LoggedIn { user_id, email, added, services: names(&allowed), missing: names(&missing) })
}

/// Returns the address of the user who consented, by asking an allowed service, so that no extra scope is needed.
async fn who(context: &Context, allowed: &[&Registered], access_token: &SecretString) -> Result<String, Failure> {
    let token = access_token.expose_secret().to_owned();
    let mut last = Failure::new(Class::Internal, "no service was called");
    for service in allowed {
        match service.probe.probe(&context.google, &token, service.scope).await {
            Ok(email) => return Ok(email),
            // An API may be disabled in the project while another one is enabled.
            Err(failure) => last = Failure { message: format!("finding out who consented: {}", failure.message), ..failure },
        }
    }
    Err(last)
}
