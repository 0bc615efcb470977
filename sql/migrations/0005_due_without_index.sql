-- Every poll moves due_at. With an index on it each of them wrote to all three indexes of the table; without one a new version of a row goes
-- beside the old one and touches none, as long as its page has room for a claimed version and a closed one.
DROP INDEX streams_due;
ALTER TABLE streams SET (fillfactor = 45);
