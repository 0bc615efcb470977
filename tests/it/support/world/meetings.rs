//! Meetings, their bots and transcripts, as the database has them.

use super::World;

/// A row of `meetings`. Empty for SQL's NULL.
pub struct Meeting {
    pub id: String,
    pub bot_id: String,
    pub bot_status: String,
    pub bot_reason: String,
    pub event_status: String,
    pub link_kind: String,
    pub link: String,
}

/// A row of `attendee_bots`. Empty for SQL's NULL.
pub struct Bot {
    pub bot_id: String,
    pub state: String,
    pub raw_state: String,
    pub status: String,
    pub reason: String,
    pub last_error: String,
}

impl World {
    /// The only meeting.
    #[track_caller]
    pub fn meeting(&self) -> Meeting {
        self.only_meeting_where("true")
    }

    /// The only meeting of an event.
    #[track_caller]
    pub fn meeting_of(&self, event: &str) -> Meeting {
        self.only_meeting_where(&format!("event_id = '{event}'"))
    }

    #[track_caller]
    fn only_meeting_where(&self, condition: &str) -> Meeting {
        let [id, bot_id, bot_status, bot_reason, event_status, link_kind, link] =
            self.only_row("id::text, bot_id, bot_status, bot_reason, event_status, link_kind, link", "meetings", condition);
        Meeting { id, bot_id, bot_status, bot_reason, event_status, link_kind, link }
    }

    /// The only bot.
    #[track_caller]
    pub fn bot(&self) -> Bot {
        let [bot_id, state, raw_state, status, reason, last_error] =
            self.only_row("bot_id, state, raw_state, status, reason, last_error", "attendee_bots", "true");
        Bot { bot_id, state, raw_state, status, reason, last_error }
    }

    #[track_caller]
    fn only_row<const N: usize>(&self, columns: &str, table: &str, condition: &str) -> [String; N] {
        let rows = self.query(&format!("SELECT {columns} FROM {table} WHERE {condition}"));
        assert_eq!(rows.len(), 1, "rows of {table} where {condition}");
        std::array::from_fn(|column| rows[0].get::<_, Option<String>>(column).unwrap_or_default())
    }

    /// How many bots have everything that Attendee will ever have of them.
    pub fn settled_bots(&self) -> i64 {
        self.count("SELECT count(*) FROM attendee_bots WHERE state = 'settled'")
    }

    pub fn unsettled_bots(&self) -> i64 {
        self.count("SELECT count(*) FROM attendee_bots WHERE state <> 'settled'")
    }

    /// Lets the ends of all bots be this much longer ago, as an SQL interval.
    pub fn age_ends_of_bots(&self, by: &str) {
        self.execute(&format!("UPDATE attendee_bots SET ended_at = ended_at - interval '{by}'"));
    }

    pub fn utterances(&self) -> i64 {
        self.count("SELECT count(*) FROM attendee_utterances")
    }

    pub fn transcripts(&self) -> i64 {
        self.count("SELECT count(*) FROM attendee_transcripts")
    }

    /// The sealed API key of the only project at Attendee.
    pub fn sealed_api_key(&self) -> Vec<u8> {
        self.query("SELECT api_key FROM attendee_projects")[0].get(0)
    }
}
