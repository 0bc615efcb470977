//! `labels.list` and `labels.get`.

use std::collections::HashMap;

use axum::response::Response;
use serde_json::{Value, json};

use super::UNREAD;
use crate::gmail::ask::{Ask, not_found};
use crate::gmail::mailbox::Mailbox;
use crate::schema;
use crate::state::lock;

/// All labels, without their colours and counts, as Google documents it.
pub async fn list(ask: Ask) -> Response {
    ask.answer(("labels.list", 1), &schema::LABELS, |user| {
        let labels = &lock(&user.mailbox).labels;
        Ok(json!({ "labels": labels.all().map(|index| labels.shown(index)).collect::<Vec<_>>() }))
    })
    .await
}

/// One label with its colour and counts.
pub async fn get(ask: Ask) -> Response {
    ask.answer(("labels.get", 1), &schema::LABEL, |user| {
        let mailbox = lock(&user.mailbox);
        let index = ask.label().and_then(|id| mailbox.labels.find(id)).ok_or_else(not_found)?;
        Ok(described(&mailbox, index))
    })
    .await
}

fn described(mailbox: &Mailbox, index: u16) -> Value {
    let mut label = mailbox.labels.shown(index);
    if let Some(color) = mailbox.labels.color(index) {
        label["color"] = json!(color);
    }
    let (mut messages, mut unread) = (0, 0);
    // Whether a thread has an unread message with the label.
    let mut threads: HashMap<u64, bool> = HashMap::new();
    for (_, message) in mailbox.all().filter(|(_, message)| message.labels.contains(&index)) {
        let is_unread = message.labels.contains(&UNREAD);
        messages += 1;
        unread += u32::from(is_unread);
        *threads.entry(message.thread).or_default() |= is_unread;
    }
    label["messagesTotal"] = json!(messages);
    label["messagesUnread"] = json!(unread);
    label["threadsTotal"] = json!(threads.len());
    label["threadsUnread"] = json!(threads.values().filter(|is_unread| **is_unread).count());
    label
}
