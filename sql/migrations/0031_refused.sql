-- Each run asks whether anything is refused or stopped. Mostly nothing is, and no account or stream is read for that.
CREATE INDEX accounts_refused ON accounts (state) WHERE state = 'revoked' OR refused_at IS NOT NULL;
CREATE INDEX streams_stopped ON streams (service) WHERE state = 'stopped';
