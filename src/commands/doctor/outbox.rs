//! Targets of the outbox as the settings name them: whether they can be reached at all, and whether there are such events.

use std::time::Duration;

use url::Url;

use super::Findings;
use crate::config::{Outbox, Settings, Target};
use crate::db::classify::offers::UNDECIDED;
use crate::outbox::{self, Reached};
use crate::services;

const CHECK: &str = "outbox";
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// `offline`: nobody is looked for on the network. No target is sent anything.
pub async fn check(settings: &Settings, offline: bool, found: &mut Findings) {
    programs(settings, found);
    for target in &settings.outbox.targets {
        events(target, found);
        reach(&settings.outbox, target, offline, found).await;
    }
}

/// Programs that may decide and are told of nothing, or are told of nothing because they may not decide.
fn programs(settings: &Settings, found: &mut Findings) {
    let targets = &settings.outbox.targets;
    let takes =
        |target: &Target| target.events.is_empty() || target.events.iter().any(|pattern| outbox::matches(pattern, UNDECIDED));
    if settings.webhook.lets_programs_decide() {
        if !targets.iter().any(takes) {
            found.warn(
                CHECK,
                format!("webhook.classify_secret is set, and no target takes {UNDECIDED}"),
                format!("add {UNDECIDED} to the events of a target, or remove webhook.classify_secret"),
            );
        }
        return;
    }
    for target in targets.iter().filter(|target| target.events.iter().any(|event| event == UNDECIDED)) {
        found.fail(
            CHECK,
            format!("{}: no {UNDECIDED} is written without webhook.classify_secret", target.name),
            "set webhook.classify_secret, or take the event off the target",
        );
    }
}

/// Patterns that match no event: what they were meant for never goes out, and nothing says so.
fn events(target: &Target, found: &mut Findings) {
    let types = services::event_types();
    let odd: Vec<&str> = target
        .events
        .iter()
        .map(String::as_str)
        .filter(|pattern| !types.iter().any(|kind| outbox::matches(pattern, kind)))
        .collect();
    if !odd.is_empty() {
        found.fail(
            CHECK,
            format!("{}: no event is of a type that matches {}", target.name, odd.join(", ")),
            format!("correct events of the target; the types are {}", types.join(", ")),
        );
    }
}

async fn reach(settings: &Outbox, target: &Target, offline: bool, found: &mut Findings) {
    let name = &target.name;
    let Ok(url) = Url::parse(&target.url) else { return };
    let correct = "correct the target's url in the settings";
    match outbox::reach(&url, settings.allow_private, offline, PATIENCE).await {
        Reached::NotAsked => {}
        Reached::Refused(private) => {
            found.fail(
                CHECK,
                format!("{name}: {}", outbox::refused(private)),
                format!("set outbox.allow_private = true, or {correct}"),
            );
        }
        Reached::Unresolved(why) => found.fail(CHECK, format!("{name}: {why}"), correct),
        Reached::Silent(why) => found.fail(CHECK, format!("{name}: {why}"), format!("start the receiver, or {correct}")),
        Reached::Answers(place) => found.ok(CHECK, format!("{name} answers at {place}")),
    }
}
