-- # Engine
COMMENT ON TABLE job_locks IS 'The run that holds each job, so that at most one is active.';
COMMENT ON COLUMN job_locks.job IS 'Such as calendar cron.';
COMMENT ON COLUMN job_locks.run_id IS 'Run that holds it, as in runs.id.';
COMMENT ON COLUMN job_locks.held_until IS 'When another run may take it over, unless it is renewed.';

COMMENT ON TABLE quarantined_items IS 'Items that could not be applied or fetched; the cursor moved on without them.';
COMMENT ON COLUMN quarantined_items.id IS 'ID for items list and items retry.';
COMMENT ON COLUMN quarantined_items.stream_id IS 'Feed (streams.id).';
COMMENT ON COLUMN quarantined_items.item_id IS 'The provider''s ID, or a digest if there is none or it is too long.';
COMMENT ON COLUMN quarantined_items.raw IS 'The item as received. Empty: it was not received.';
COMMENT ON COLUMN quarantined_items.error IS 'Why it could not be applied or fetched.';
COMMENT ON COLUMN quarantined_items.attempts IS 'Failed attempts.';
COMMENT ON COLUMN quarantined_items.first_seen_at IS 'When it was quarantined.';
COMMENT ON COLUMN quarantined_items.last_tried_at IS 'When the last attempt failed.';
COMMENT ON COLUMN quarantined_items.retry_at IS 'When it is requested again. NULL: it was received, and is not.';
COMMENT ON COLUMN quarantined_items.seen_pass IS 'Last full pass that listed it, as in streams.pass. NULL: none did.';
COMMENT ON COLUMN quarantined_items.is_deadly IS 'Processes that read it died twice: it is read again only on request.';

COMMENT ON TABLE channels IS
  'Push channels at Google (events.watch, calendarList.watch, changes.watch, users.watch); a row outlives its feed until the channel is stopped.';
COMMENT ON COLUMN channels.id IS 'X-Goog-Channel-ID.';
COMMENT ON COLUMN channels.stream_id IS 'Feed that it watches (streams.id). NULL: the feed was deleted.';
COMMENT ON COLUMN channels.user_id IS 'User to whom the feed belongs (users.id).';
COMMENT ON COLUMN channels.service IS 'Service of the feed.';
COMMENT ON COLUMN channels.state IS
  'creating; live; stopping; stopped; refused (by Google); unsupported (Google offers no push for this resource).';
COMMENT ON COLUMN channels.address IS 'Address or topic to which Google sends notifications.';
COMMENT ON COLUMN channels.token_hash IS 'SHA-256 of the token that Google repeats in X-Goog-Channel-Token.';
COMMENT ON COLUMN channels.run_id IS 'Run that requested it, as in runs.id. NULL: not known.';
COMMENT ON COLUMN channels.resource_id IS 'Google''s ID of the watched resource; me for a mailbox. NULL: Google has not answered.';
COMMENT ON COLUMN channels.created_at IS 'When it was requested.';
COMMENT ON COLUMN channels.expires_at IS 'When it expires; as requested until Google has answered.';
COMMENT ON COLUMN channels.ended_at IS 'When it was stopped or expired. NULL: neither.';
COMMENT ON COLUMN channels.notifications IS 'Number of changes that it has announced.';
COMMENT ON COLUMN channels.last_notified_at IS 'When it last announced a change. NULL: never.';
COMMENT ON COLUMN channels.failures IS 'Failed attempts to create or stop it.';
COMMENT ON COLUMN channels.last_error IS 'Error of the last failed attempt. NULL: none failed.';

COMMENT ON TABLE notifications IS 'Notifications received from Google and Attendee, each once.';
COMMENT ON COLUMN notifications.source IS 'channel: and the channel''s ID; pubsub: and the subscription; or attendee.';
COMMENT ON COLUMN notifications.key IS 'Message number of the channel, message ID of Pub/Sub, or idempotency key of Attendee.';
COMMENT ON COLUMN notifications.stream_id IS 'Feed that it announces (streams.id). NULL: none is known.';
COMMENT ON COLUMN notifications.received_at IS 'When it was stored.';

COMMENT ON TABLE quota_usage IS 'Quota units of projects and users, by hour or by day.';
COMMENT ON COLUMN quota_usage.service IS 'Service whose quota it is.';
COMMENT ON COLUMN quota_usage.subject IS 'A project; a project, a slash and a user ID; or endpoint/requests.';
COMMENT ON COLUMN quota_usage.span IS 'hour (spent by polls, without full passes) or day (reserved by all calls).';
COMMENT ON COLUMN quota_usage.window_start IS 'Start of the hour, or of Google''s quota day: midnight Pacific Time.';
COMMENT ON COLUMN quota_usage.units IS 'Quota units.';

COMMENT ON TABLE quota_minutes IS 'Quota units reserved in the last minute, by second.';
COMMENT ON COLUMN quota_minutes.service IS 'Service whose quota it is.';
COMMENT ON COLUMN quota_minutes.subject IS 'As in quota_usage.';
COMMENT ON COLUMN quota_minutes.seconds IS 'Seconds since 1970, ascending.';
COMMENT ON COLUMN quota_minutes.units IS 'Quota units reserved in each of these seconds.';

COMMENT ON TABLE quota_pauses IS 'Projects that are not called because their daily quota is used up.';
COMMENT ON COLUMN quota_pauses.service IS 'Service whose quota it is.';
COMMENT ON COLUMN quota_pauses.project IS 'Google project, or ID of a project at Attendee.';
COMMENT ON COLUMN quota_pauses.until IS 'When the pause ends.';
COMMENT ON COLUMN quota_pauses.reason IS 'What the provider answered.';
COMMENT ON COLUMN quota_pauses.began_at IS 'When the pause began.';
COMMENT ON COLUMN quota_pauses.probe_at IS 'When one call finds out whether the quota is available again.';

COMMENT ON TABLE pace_prices IS 'Price of a poll in each project: the one at which all polls together meet the budget.';
COMMENT ON COLUMN pace_prices.service IS 'Service that polls.';
COMMENT ON COLUMN pace_prices.project IS 'Project whose quota is spent.';
COMMENT ON COLUMN pace_prices.price IS 'Price of a poll, in hours of delay.';
COMMENT ON COLUMN pace_prices.budget IS 'Quota units per hour that may be spent.';
COMMENT ON COLUMN pace_prices.foretold IS 'Units that the prices predicted; past ones halve every day.';
COMMENT ON COLUMN pace_prices.spent IS 'Units that were spent under these prices; past ones halve every day.';
COMMENT ON COLUMN pace_prices.spent_in_hour IS 'Units of the current hour that spent includes.';
COMMENT ON COLUMN pace_prices.streams IS 'Number of feeds.';
COMMENT ON COLUMN pace_prices.polls IS 'Polls per hour at this price.';
COMMENT ON COLUMN pace_prices.computed_at IS 'When the price was computed.';

COMMENT ON TABLE pace_priors IS 'How often feeds of each kind change, learnt from all of them: what is assumed of a feed about which little is known.';
COMMENT ON COLUMN pace_priors.service IS 'Service that polls.';
COMMENT ON COLUMN pace_priors.kind IS 'Kind of feed, as in streams.kind.';
COMMENT ON COLUMN pace_priors.changes IS 'The assumption counts as this many changes that do not follow from others (shape of a gamma distribution).';
COMMENT ON COLUMN pace_priors.hours IS 'Hours in which these changes count as seen.';
COMMENT ON COLUMN pace_priors.followers IS 'Shares of changes that follow from others within minutes, an hour, a working day, a few days.';
COMMENT ON COLUMN pace_priors.streams IS 'Number of feeds from which it was learnt.';
COMMENT ON COLUMN pace_priors.fitted_at IS 'When it was learnt.';

COMMENT ON TABLE pace_user_prices IS 'Price of a poll for users whose feeds alone would exceed the quota of one user.';
COMMENT ON COLUMN pace_user_prices.service IS 'Service that polls.';
COMMENT ON COLUMN pace_user_prices.user_id IS 'User (users.id).';
COMMENT ON COLUMN pace_user_prices.price IS 'Price of a poll, in hours of delay.';

COMMENT ON TABLE pace_runs IS 'When the prices of each service were last computed.';
COMMENT ON COLUMN pace_runs.service IS 'Service that polls.';
COMMENT ON COLUMN pace_runs.begun_at IS 'When the computation began.';

COMMENT ON TABLE model_usage IS 'Calls of the model endpoint by day, endpoint and model. Contains no text and no users.';
COMMENT ON COLUMN model_usage.day IS 'Day, UTC.';
COMMENT ON COLUMN model_usage.endpoint IS 'Host, with the port unless it is the default.';
COMMENT ON COLUMN model_usage.model IS 'Name of the model, as in the settings.';
COMMENT ON COLUMN model_usage.calls IS 'Number of requests, failed ones included.';
COMMENT ON COLUMN model_usage.prompt_tokens IS 'Tokens sent. A request without an answer counts with all that it may have used.';
COMMENT ON COLUMN model_usage.completion_tokens IS 'Tokens received. A request without an answer counts with all that it may have used.';
COMMENT ON COLUMN model_usage.cost IS 'In the currency of the prices in the settings.';
COMMENT ON COLUMN model_usage.failures IS 'Number of failed requests.';

COMMENT ON TABLE model_budgets IS 'What is spent and reserved of each day''s budget for the model endpoint.';
COMMENT ON COLUMN model_budgets.day IS 'Day, UTC.';
COMMENT ON COLUMN model_budgets.tokens IS 'Tokens spent or reserved.';
COMMENT ON COLUMN model_budgets.cost IS 'Spent or reserved, in billionths of the currency of the prices in the settings.';

COMMENT ON TABLE schema_migrations IS 'Migrations that were applied (syncctl db migrate).';
COMMENT ON COLUMN schema_migrations.version IS 'Number of the migration.';
COMMENT ON COLUMN schema_migrations.name IS 'Name of the migration.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of its text, in hexadecimal.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';

COMMENT ON FUNCTION changes_cursor(text) IS 'Checks a reader''s last cursor (NULL: first read) and returns the next one. See docs/readers.md.';
COMMENT ON FUNCTION changes_since(bigint, text) IS 'Whether a row with this changed_xid changed after the cursor. NULL as cursor: always.';
COMMENT ON FUNCTION syncctl_changes_cursor(text, text, bigint) IS 'Part of changes_cursor: the cursor of the current snapshot.';
COMMENT ON FUNCTION syncctl_changes_origin(oid) IS 'Part of changes_cursor: the server, timeline, database and table for which a cursor is valid.';
