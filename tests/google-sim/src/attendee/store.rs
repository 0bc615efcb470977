//! The projects and their bots, in order of creation, and scripts for future bots.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::bot::{Bot, New, Notice};
use super::course::Course;
use super::webhooks::Subscription;
use crate::quota::Window;

#[derive(Default)]
pub struct Store {
    pub projects: BTreeMap<String, Project>,
    bots: BTreeMap<u64, Bot>,
    places: HashMap<String, u64>,
    pub usual: Course,
    /// Courses of present and future bots, in the order given.
    scripts: Vec<Script>,
}

pub struct Project {
    pub key: String,
    /// Base64, as Attendee shows it.
    pub secret: String,
    /// Limit of throttled POST requests.
    pub posts_per_minute: Option<u64>,
    /// Those of the current minute.
    pub posts: Window,
    /// Origin of the links to next pages; absent: the address of the simulator.
    pub next_origin: Option<String>,
    pub subscriptions: Vec<Subscription>,
}

/// Sets the course of the bots of a meeting, or of one bot.
pub struct Script {
    /// A bot's id, a meeting's URL or a deduplication key.
    pub of: String,
    pub course: Map<String, Value>,
}

impl Script {
    fn is_of(&self, bot: &Bot) -> bool {
        self.of == bot.id || self.of == bot.meeting_url || bot.deduplication_key.as_ref() == Some(&self.of)
    }
}

impl Store {
    pub fn project_of(&self, key: &str) -> Option<String> {
        self.projects.iter().find(|(_, project)| project.key == key).map(|(name, _)| name.clone())
    }

    /// A bot of this project, by its id.
    pub fn bot(&mut self, project: &str, id: &str) -> Option<&mut Bot> {
        let bot = self.bots.get_mut(self.places.get(id)?)?;
        (bot.project == project && !bot.deleted).then_some(bot)
    }

    /// A bot of any project, by its id.
    pub fn any_bot(&mut self, id: &str) -> Option<&mut Bot> {
        self.bots.get_mut(self.places.get(id)?).filter(|bot| !bot.deleted)
    }

    /// The bots of this project with their positions.
    pub fn bots_of<'a>(&'a self, project: &'a str) -> impl Iterator<Item = (u64, &'a Bot)> {
        self.bots.iter().filter(move |(_, bot)| bot.project == project && !bot.deleted).map(|(position, bot)| (*position, bot))
    }

    /// Every bot ever created, in order of creation.
    pub fn ever(&self) -> impl Iterator<Item = &Bot> {
        self.bots.values()
    }

    /// Creates a bot, unless its key is in use: then the store is unchanged.
    pub fn make(&mut self, new: New, now: DateTime<Utc>) -> Result<&Bot, KeyInUse> {
        let holds = |bot: &Bot| !bot.is_done() && bot.deduplication_key == new.deduplication_key;
        if new.deduplication_key.is_some() && self.bots_of(&new.project).any(|(_, bot)| holds(bot)) {
            return Err(KeyInUse);
        }
        let (mut bot, notices) = Bot::new(new, self.usual.clone(), now);
        // They were validated when they were set.
        if let Ok(course) = self.course_of(&bot) {
            bot.follow(course);
        }
        let position = self.places.len() as u64 + 1;
        self.places.insert(bot.id.clone(), position);
        self.notify(&bot, notices);
        Ok(self.bots.entry(position).or_insert(bot))
    }

    /// Applies to present and future bots; returns the number of present ones.
    pub fn script(&mut self, script: Script) -> Result<usize, serde_json::Error> {
        self.usual.with(&script.course)?;
        let mut count = 0;
        for bot in self.bots.values_mut().filter(|bot| script.is_of(bot)) {
            bot.follow(bot.course.with(&script.course)?);
            count += 1;
        }
        self.scripts.push(script);
        Ok(count)
    }

    /// Applies to all bots, present and future, that have no script.
    pub fn say(&mut self, course: &Map<String, Value>) -> Result<usize, serde_json::Error> {
        self.usual = self.usual.with(course)?;
        let courses: Vec<Course> = self.bots.values().map(|bot| self.course_of(bot)).collect::<Result<_, _>>()?;
        self.bots.values_mut().zip(courses).for_each(|(bot, course)| bot.follow(course));
        Ok(self.bots.len())
    }

    /// The default course with the scripts that apply to this bot.
    fn course_of(&self, bot: &Bot) -> Result<Course, serde_json::Error> {
        self.scripts
            .iter()
            .filter(|script| script.is_of(bot))
            .try_fold(self.usual.clone(), |course, script| course.with(&script.course))
    }

    /// Advances every bot to now.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        let lived: Vec<(u64, Vec<Notice>)> =
            self.bots.iter_mut().filter(|(_, bot)| !bot.deleted).map(|(position, bot)| (*position, bot.settle(now))).collect();
        for (position, notices) in lived {
            if let Some(bot) = self.bots.get(&position) {
                self.notify(bot, notices);
            }
        }
    }

    /// Time of the next transition of any bot.
    pub fn next_at(&self) -> Option<DateTime<Utc>> {
        self.bots.values().filter(|bot| !bot.deleted).filter_map(Bot::next_at).min()
    }

    /// Notifies subscribers.
    pub fn notify(&self, bot: &Bot, notices: Vec<Notice>) {
        let Some(project) = self.projects.get(&bot.project) else { return };
        for notice in notices {
            for subscription in &project.subscriptions {
                subscription.notify(&project.secret, bot, &notice);
            }
        }
    }

    /// The same, by the bot's id.
    pub fn notify_of(&mut self, id: &str, notice: Notice) {
        if let Some(bot) = self.places.get(id).and_then(|position| self.bots.get(position)) {
            self.notify(bot, vec![notice]);
        }
    }
}

/// An unfinished bot has this deduplication key.
pub struct KeyInUse;
