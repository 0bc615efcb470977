-- Google does not offer push for some calendars, such as those of public holidays. This is neither asked for again nor a fault.
ALTER TABLE channels DROP CONSTRAINT channels_state_check,
  ADD CONSTRAINT channels_state_check CHECK (state IN ('creating', 'live', 'stopping', 'stopped', 'refused', 'unsupported')) NOT VALID;
ALTER TABLE channels VALIDATE CONSTRAINT channels_state_check;
UPDATE channels SET state = 'unsupported' WHERE state = 'refused' AND last_error LIKE '%pushNotSupportedForRequestedResource%';
