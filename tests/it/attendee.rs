//! Meeting bots when a run dies, an answer is lost, a key is refused, or Attendee misbehaves.

mod announced;
mod economy;
mod keys;
mod lasting;
mod late;
mod lost;
mod moved;
mod odd;
mod suspended;
mod transcripts;
