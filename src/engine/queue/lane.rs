//! Full passes of one project, in the order in which they take their turns.

use std::collections::VecDeque;
use std::time::Instant;

use crate::engine::slice::Task;

/// First pages before deeper ones, each in the order in which they came.
pub struct Lane {
    pub project: String,
    firsts: VecDeque<Box<Task>>,
    deeper: VecDeque<Box<Task>>,
    /// The project lacks quota until then.
    pub until: Option<Instant>,
}

impl Lane {
    /// An empty one.
    pub fn new(project: &str) -> Self {
        Self { project: project.to_owned(), firsts: VecDeque::new(), deeper: VecDeque::new(), until: None }
    }

    pub fn len(&self) -> usize {
        self.firsts.len() + self.deeper.len()
    }

    pub fn push(&mut self, task: Box<Task>) {
        self.part(&task).push_back(task);
    }

    /// Puts back what was taken out: it stays the next one.
    pub fn push_front(&mut self, task: Box<Task>) {
        self.part(&task).push_front(task);
    }

    pub fn pop(&mut self) -> Option<Box<Task>> {
        self.firsts.pop_front().or_else(|| self.deeper.pop_front())
    }

    fn part(&mut self, task: &Task) -> &mut VecDeque<Box<Task>> {
        if task.is_first() { &mut self.firsts } else { &mut self.deeper }
    }
}
