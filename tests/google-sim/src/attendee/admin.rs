//! The test's side, under `/admin/attendee`: projects and their keys, the course of bots, subscriptions, and the true state.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::http::Uri;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bot::{Bot, New, Notice};
use super::create::meeting_url;
use super::store::{Project, Script};
use super::webhooks::{Subscription, TRIGGERS};
use crate::admin::{Answer, Params, Shared, Wrong};
use crate::quota::Window;
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    let routes = Router::new()
        .route("/projects", post(put_project))
        .route("/bots", post(make))
        .route("/script", post(script))
        .route("/act", post(act))
        .route("/webhooks", get(counts).post(subscribe).delete(unsubscribe))
        .route("/state", get(state));
    Router::new().nest("/attendee", routes)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutProject {
    name: String,
    /// Absent: generated.
    key: Option<String>,
    /// Secret of the webhooks, in base64; absent: generated.
    secret: Option<String>,
    posts_per_minute: Option<u64>,
    next_origin: Option<String>,
}

/// Adds a project, or changes its key, secret and limits; bots and subscriptions stay.
async fn put_project(State(world): Shared, Json(put): Json<PutProject>) -> Answer {
    let fresh = || format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
    let secret = put.secret.unwrap_or_else(|| BASE64.encode(fresh().as_bytes()));
    if BASE64.decode(secret.as_bytes()).is_err() {
        return Err(Wrong("secret is no base64".into()));
    }
    let mut store = lock(&world.attendee.store);
    let subscriptions = store.projects.remove(&put.name).map(|project| project.subscriptions).unwrap_or_default();
    let project = Project {
        key: put.key.unwrap_or_else(fresh),
        secret,
        posts_per_minute: put.posts_per_minute,
        posts: Window::default(),
        next_origin: put.next_origin,
        subscriptions,
    };
    let shown = json!({ "name": put.name, "key": project.key, "secret": project.secret });
    store.projects.insert(put.name, project);
    Ok(Json(shown))
}

fn project<'a>(projects: &'a mut std::collections::BTreeMap<String, Project>, name: &str) -> Result<&'a mut Project, Wrong> {
    projects.get_mut(name).ok_or_else(|| Wrong(format!("no project {name}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    project: String,
    meeting_url: String,
    join_at: Option<DateTime<Utc>>,
    deduplication_key: Option<String>,
    #[serde(default)]
    metadata: Value,
    count: Option<u64>,
}

/// Bots created by another client with the same key.
async fn make(State(world): Shared, Json(order): Json<Make>) -> Answer {
    let now = world.now();
    let mut store = lock(&world.attendee.store);
    project(&mut store.projects, &order.project)?;
    let url = meeting_url(&order.meeting_url).map_err(|_| Wrong(format!("no meeting: {}", order.meeting_url)))?;
    let mut ids = Vec::new();
    for _ in 0..order.count.unwrap_or(1) {
        let new = New {
            project: order.project.clone(),
            name: "Somebody else's".into(),
            meeting_url: url.clone(),
            metadata: order.metadata.clone(),
            join_at: order.join_at,
            deduplication_key: order.deduplication_key.clone(),
        };
        let bot = store.make(new, now).map_err(|_| Wrong("the deduplication key is in use".into()))?;
        ids.push(bot.id.clone());
    }
    world.attendee.wake();
    Ok(Json(json!({ "ids": ids })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    /// A bot's ID, a meeting's URL or a deduplication key; absent: all bots without a script, and future ones.
    of: Option<String>,
    course: Map<String, Value>,
}

async fn script(State(world): Shared, Json(say): Json<Say>) -> Answer {
    let wrong = |error: serde_json::Error| Wrong(format!("course: {error}"));
    let now = world.now();
    let mut store = lock(&world.attendee.store);
    store.settle(now);
    let bots = match say.of {
        Some(of) => store.script(Script { of, course: say.course }).map_err(wrong)?,
        None => store.say(&say.course).map_err(wrong)?,
    };
    world.attendee.wake();
    Ok(Json(json!({ "bots": bots })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    bot: String,
    #[serde(rename = "do")]
    deed: Deed,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    /// The meeting is over for all participants.
    EndMeeting,
    /// The bot's process dies.
    Fail,
    DeleteData,
}

/// An immediate event of a bot.
async fn act(State(world): Shared, Json(act): Json<Act>) -> Answer {
    let now = world.now();
    let mut store = lock(&world.attendee.store);
    store.settle(now);
    let bot = store.any_bot(&act.bot).ok_or_else(|| Wrong(format!("no bot {}", act.bot)))?;
    let notice: Option<Notice> = match act.deed {
        Deed::EndMeeting => bot.end_meeting(now),
        Deed::Fail => (!bot.is_done()).then(|| bot.fail("fatal_error", "process_terminated", now)),
        Deed::DeleteData => bot.delete_data(now),
    };
    let shown = bot.shown(now);
    let notice = notice.ok_or_else(|| Wrong(format!("not in its state: {shown}")))?;
    store.notify_of(&act.bot, notice);
    world.attendee.wake();
    Ok(Json(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    project: String,
    url: String,
    /// Absent: all.
    triggers: Option<Vec<String>>,
}

async fn subscribe(State(world): Shared, Json(order): Json<Subscribe>) -> Answer {
    let url: Uri = order.url.parse().map_err(|_| Wrong(format!("{} is no address", order.url)))?;
    let triggers = order.triggers.unwrap_or_else(|| TRIGGERS.map(str::to_owned).into());
    if let Some(odd) = triggers.iter().find(|trigger| !TRIGGERS.contains(&trigger.as_str())) {
        return Err(Wrong(format!("Invalid webhook trigger type: {odd}")));
    }
    let mut store = lock(&world.attendee.store);
    let project = project(&mut store.projects, &order.project)?;
    project.subscriptions.push(Subscription::new(url, triggers));
    Ok(Json(json!({ "secret": project.secret })))
}

/// Ends all subscriptions of a project.
async fn unsubscribe(State(world): Shared, Query(params): Params) -> Answer {
    let mut store = lock(&world.attendee.store);
    let name = params.get("project").map_or("", String::as_str);
    let ended = std::mem::take(&mut project(&mut store.projects, name)?.subscriptions);
    Ok(Json(json!({ "ended": ended.len() })))
}

async fn counts(State(world): Shared) -> Json<Value> {
    let store = lock(&world.attendee.store);
    let shown = store.projects.iter().flat_map(|(name, project)| {
        let row = move |one: &Subscription| json!({ "project": name, "url": one.url.to_string(), "triggers": one.triggers, "count": *one.counts });
        project.subscriptions.iter().map(row)
    });
    Json(shown.collect())
}

/// JSON lines of every bot ever created, including removed ones.
async fn state(State(world): Shared, Query(params): Params) -> String {
    let now = world.now();
    let mut store = lock(&world.attendee.store);
    store.settle(now);
    let is_selected = |bot: &&Bot| params.get("project").is_none_or(|project| *project == bot.project);
    let line = |bot: &Bot| {
        let mut shown = bot.shown(now);
        shown["project"] = json!(bot.project);
        shown["name"] = json!(bot.name);
        shown["created_at"] = json!(bot.created_at);
        shown["deleted"] = json!(bot.deleted);
        shown["transcript"] = bot.utterances(now).iter().map(|utterance| utterance.shown(now)).collect();
        format!("{shown}\n")
    };
    store.ever().filter(is_selected).map(line).collect()
}
