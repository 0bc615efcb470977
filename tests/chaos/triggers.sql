-- Records cursors that moved backwards. A full pass begins without a cursor and ends with a new one.
CREATE TABLE chaos_regressions (stream_id bigint, old text, new text, at timestamptz DEFAULT clock_timestamp());
-- The position of a cursor: a number, or a sync token of the simulator's calendars, which is base64-encoded JSON.
CREATE FUNCTION chaos_place(cursor text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN cursor ~ '^[0-9]+$' THEN cursor::numeric WHEN cursor LIKE 'eyJr%' THEN
    (convert_from(decode(rpad(translate(cursor, '-_', '+/'), (length(cursor) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb ->> 'after')::numeric END
$$;
CREATE FUNCTION chaos_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF chaos_place(NEW.cursor) < chaos_place(OLD.cursor) THEN
    INSERT INTO chaos_regressions VALUES (OLD.id, OLD.cursor, NEW.cursor);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER chaos_cursor BEFORE UPDATE OF cursor ON streams FOR EACH ROW EXECUTE FUNCTION chaos_cursor();
-- Raises the error of a full disk while the switch is on.
CREATE TABLE chaos_disk (is_full boolean NOT NULL);
INSERT INTO chaos_disk VALUES (false);
CREATE FUNCTION chaos_disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT is_full FROM chaos_disk) AND random() < 0.3 THEN
    RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER chaos_disk AFTER INSERT OR UPDATE ON streams FOR EACH STATEMENT EXECUTE FUNCTION chaos_disk_full();
CREATE TRIGGER chaos_disk AFTER INSERT OR UPDATE ON calendar_events FOR EACH STATEMENT EXECUTE FUNCTION chaos_disk_full();
CREATE TRIGGER chaos_disk AFTER INSERT OR UPDATE ON gmail_messages FOR EACH STATEMENT EXECUTE FUNCTION chaos_disk_full();
CREATE TRIGGER chaos_disk AFTER INSERT OR UPDATE ON drive_file_access FOR EACH STATEMENT EXECUTE FUNCTION chaos_disk_full();
CREATE TRIGGER chaos_disk AFTER INSERT OR UPDATE ON attendee_bots FOR EACH STATEMENT EXECUTE FUNCTION chaos_disk_full();
CREATE TRIGGER chaos_disk AFTER INSERT OR UPDATE ON documents FOR EACH STATEMENT EXECUTE FUNCTION chaos_disk_full();
CREATE TRIGGER chaos_disk AFTER INSERT OR UPDATE ON outbox_events FOR EACH STATEMENT EXECUTE FUNCTION chaos_disk_full();
