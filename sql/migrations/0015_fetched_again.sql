-- Things that the provider would not give, beside those that could not be stored: when each is to be asked for again. NULL: it came.
ALTER TABLE quarantined_items ADD COLUMN retry_at timestamptz;
-- A claim looks for those that are due; there are hardly ever any.
CREATE INDEX quarantined_items_retry ON quarantined_items (retry_at) WHERE retry_at IS NOT NULL;
