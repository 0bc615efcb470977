//! All channels ever opened, and which of them a change wakes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::channel::Channel;

#[derive(Default)]
pub struct Registry {
    /// By API and ID. Ended ones stay, since an ID can be used only once.
    channels: BTreeMap<(&'static str, String), Arc<Channel>>,
    /// By the keys that wake them.
    by_key: HashMap<String, Vec<Arc<Channel>>>,
    /// The maximum number of concurrent channels of a resource (API, user, name).
    most: HashMap<(&'static str, String, String), usize>,
}

impl Registry {
    /// `false`: the id was used before.
    pub fn add(&mut self, channel: &Arc<Channel>, keys: Vec<String>) -> bool {
        let id = (channel.api, channel.id.clone());
        if self.channels.contains_key(&id) {
            return false;
        }
        self.channels.insert(id, Arc::clone(channel));
        let resource = (channel.api, channel.user.clone(), channel.resource.clone());
        let same =
            |other: &&Arc<Channel>| (other.api, &other.user, &other.resource) == (channel.api, &channel.user, &channel.resource);
        let live = self.all().filter(same).filter(|other| other.is_live(channel.made)).count();
        let most = self.most.entry(resource).or_default();
        *most = live.max(*most);
        keys.into_iter().for_each(|key| self.by_key.entry(key).or_default().push(Arc::clone(channel)));
        true
    }

    /// The live channels that this key wakes; ended ones are dropped from the index.
    pub fn woken(&mut self, key: &str, now: i64) -> Vec<Arc<Channel>> {
        let Some(channels) = self.by_key.get_mut(key) else { return Vec::new() };
        channels.retain(|channel| channel.is_live(now));
        channels.clone()
    }

    /// `false`: this user has no such live channel.
    pub fn stop(&self, api: &'static str, id: &str, resource_id: &str, user: &str, now: i64) -> bool {
        let channel = self.channels.get(&(api, id.to_owned()));
        let channel =
            channel.filter(|channel| channel.resource_id == resource_id && channel.user == user && channel.is_live(now));
        channel.is_some_and(|channel| {
            channel.ends.store(now, Ordering::Relaxed);
            true
        })
    }

    /// The maximum number of concurrent channels of a channel's resource.
    pub fn most(&self, channel: &Channel) -> usize {
        self.most.get(&(channel.api, channel.user.clone(), channel.resource.clone())).copied().unwrap_or(0)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.values()
    }

    /// Channels with this id, of any API.
    pub fn named<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Channel>> {
        self.all().filter(move |channel| channel.id == id)
    }
}
