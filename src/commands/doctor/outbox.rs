//! Checks the outbox targets in the settings: whether they are reachable, and whether their event patterns match any event type.

use std::time::Duration;

use url::Url;

use super::Findings;
use crate::config::{self, EventTypes, Outbox, Settings, Target};
use crate::db::classify::offers::UNDECIDED;
use crate::outbox::{self, Reached};
use crate::services::registry;

const CHECK: &str = "outbox";
/// Maximum time to connect.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks each target. Sends nothing to targets; with `offline`, does not use the network.
pub async fn check(settings: &Settings, offline: bool, findings: &mut Findings) {
    programs(settings, findings);
    for target in &settings.outbox.targets {
        events(target, findings);
        reach(&settings.outbox, target, offline, findings).await;
    }
}

/// Reports programs that may decide but get no events, or that get no events because `webhook.classify_secret` is not set.
fn programs(settings: &Settings, findings: &mut Findings) {
    let targets = &settings.outbox.targets;
    let takes =
        |target: &Target| target.events.is_empty() || target.events.iter().any(|pattern| config::matches(pattern, UNDECIDED));
    if settings.webhook.lets_programs_decide() {
        if !targets.iter().any(takes) {
            findings.warn(
                CHECK,
                format!("webhook.classify_secret is set, and no target takes {UNDECIDED}"),
                format!("add {UNDECIDED} to the events of a target, or remove webhook.classify_secret"),
            );
        }
        return;
    }
    for target in targets.iter().filter(|target| target.events.iter().any(|event| event == UNDECIDED)) {
        findings.fail(
            CHECK,
            format!("{}: {UNDECIDED} events are not written without webhook.classify_secret", target.name),
            "set webhook.classify_secret, or remove the event from the target",
        );
    }
}

/// Reports patterns that match no event type: the intended events would silently never be sent.
fn events(target: &Target, findings: &mut Findings) {
    let types: Vec<&str> = registry::event_types().iter().flat_map(EventTypes::all).collect();
    let unmatched: Vec<&str> = target
        .events
        .iter()
        .map(String::as_str)
        .filter(|pattern| !types.iter().any(|kind| config::matches(pattern, kind)))
        .collect();
    if !unmatched.is_empty() {
        findings.fail(
            CHECK,
            format!("{}: no event type matches {}", target.name, unmatched.join(", ")),
            format!("correct the target's events; the types are {}", types.join(", ")),
        );
    }
}

async fn reach(settings: &Outbox, target: &Target, offline: bool, findings: &mut Findings) {
    let name = &target.name;
    let Ok(url) = Url::parse(&target.url) else { return };
    let correct = "correct the target's url in the settings";
    match outbox::reach(&url, settings.allow_private, offline, TIMEOUT).await {
        Reached::NotAsked => {}
        Reached::Refused(private) => {
            findings.fail(
                CHECK,
                format!("{name}: {}", outbox::refused(private)),
                format!("set outbox.allow_private = true, or {correct}"),
            );
        }
        Reached::Unresolved(why) => findings.fail(CHECK, format!("{name}: {why}"), correct),
        Reached::Silent(why) => findings.fail(CHECK, format!("{name}: {why}"), format!("start the receiver, or {correct}")),
        Reached::Answers(address) => findings.ok(CHECK, format!("{name} answers at {address}")),
    }
}
