-- Claims in a row of a stream whose holders ended without a word: their process died, perhaps of what it read there. With the second one the stream is
-- polled by a process of its own, which says what it is at.
ALTER TABLE streams ADD COLUMN lapses smallint NOT NULL DEFAULT 0;

-- An item that ended such a process twice: it is not read again unless a person asks for it.
ALTER TABLE quarantined_items ADD COLUMN is_deadly boolean NOT NULL DEFAULT false;
-- A claim looks for them; there are hardly ever any.
CREATE INDEX quarantined_items_deadly ON quarantined_items (stream_id) WHERE is_deadly;
