//! `accounts set`: switches services on or off for one user.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::commands::{Output, channels, users};
use crate::db::{accounts, channels_read};
use crate::engine::Context;
use crate::error::Exit;
use crate::services::registry;

#[derive(Debug, Args)]
pub struct SetArgs {
    /// User, by UUID or address
    user: String,
    /// Services to switch on or off, such as gmail=off; synced data is kept
    #[arg(required = true, value_name = "SERVICE=on|off", value_parser = switch)]
    switches: Vec<Switch>,
}

/// A service, and whether to sync it.
#[derive(Debug, Clone, Copy)]
struct Switch {
    service: &'static str,
    on: bool,
}

fn switch(text: &str) -> Result<Switch, String> {
    let known = || registry::registered().map(|one| one.service);
    let (name, value) = text.split_once('=').ok_or("write SERVICE=on or SERVICE=off")?;
    let service = known().find(|service| *service == name);
    let service = service.ok_or_else(|| format!("no service {name:?}: one of {}", known().collect::<Vec<_>>().join(", ")))?;
    match value {
        "on" => Ok(Switch { service, on: true }),
        "off" => Ok(Switch { service, on: false }),
        _ => Err(format!("{service} can be on or off, not {value:?}")),
    }
}

/// The new state of the switched services.
#[derive(Serialize)]
struct Set {
    user_id: Uuid,
    services: BTreeMap<&'static str, &'static str>,
}

/// Switches services. Stops the push channels of services being switched off first.
pub(super) async fn set(context: &Context, args: &SetArgs, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, &args.user).await?;
    let goes_off = |service: &str| args.switches.iter().any(|switch| switch.service == service && !switch.on);
    let mut open = channels_read::list(&context.pool, false).await?;
    open.retain(|channel| channel.user_id == user && !channel.state.is_refusal() && goes_off(&channel.service));
    // A channel that cannot be stopped expires by itself; its notifications make nothing due.
    channels::end(context, &open, Some(vec![user]), None).await?;
    let patch =
        args.switches.iter().map(|switch| (switch.service.to_owned(), if switch.on { Value::Null } else { false.into() }));
    accounts::switch(&context.pool, user, &Value::Object(patch.collect())).await?;
    let words = |on| if on { "on" } else { "off" };
    let set = Set { user_id: user, services: args.switches.iter().map(|switch| (switch.service, words(switch.on))).collect() };
    output.print(&set, || {
        let services: Vec<String> = set.services.iter().map(|(service, word)| format!("{service} {word}")).collect();
        format!("{user}: {}", services.join(", "))
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_a_service_and_on_or_off() {
        assert!(switch("gmail=off").is_ok_and(|switch| switch.service == "gmail" && !switch.on));
        assert!(switch("calendar=on").is_ok_and(|switch| switch.on));
        for (wrong, expected) in [("gmail", "SERVICE=on"), ("mail=off", "calendar, drive, gmail"), ("drive=no", "on or off")] {
            assert!(switch(wrong).is_err_and(|error| error.contains(expected)), "{wrong}");
        }
    }
}
