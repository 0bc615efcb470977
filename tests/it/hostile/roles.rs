//! A database that others may write to: what they put into a schema runs with nobody's rights but their own.

use crate::support::{World, pgbouncer, postgres as cluster};

#[test]
fn jobs_look_up_names_in_our_schema_and_nowhere_else() {
    for pooled in [false, true] {
        let database = cluster::shared().database();
        let name = database.name().to_owned();
        let url = if pooled { pgbouncer::shared().url(&name) } else { database.url() };
        // A schema that others share, in the search path of everybody. What is called there tells of it.
        let shadow = |of: &str| {
            format!(
                "CREATE FUNCTION elsewhere.unnest({of}[]) RETURNS SETOF {of} LANGUAGE plpgsql AS $$ BEGIN
                   INSERT INTO elsewhere.ran VALUES (current_setting('application_name')); RETURN QUERY SELECT pg_catalog.unnest($1); END $$;"
            )
        };
        let shadows = ["text", "bigint", "uuid", "integer", "jsonb"].map(shadow).concat();
        database
            .connect()
            .batch_execute(&format!(
                "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.ran (by text); {shadows}
                 ALTER DATABASE {name} SET search_path = public, elsewhere"
            ))
            .expect("a schema of others");
        let world = World::on(database, url);
        world.populate(3, 4);
        for _ in 0..2 {
            world.syncctl(&["sync", "cron"]).expect(0);
            world.sim.churn(6, 1);
        }
        world.sync_all().expect(0);
        world.assert_in_step();
        for command in [&["status"][..], &["doctor", "--offline"], &["quota", "list"], &["db", "size"], &["metrics"]] {
            world.syncctl(command);
        }
        let ran = world.query("SELECT DISTINCT by FROM elsewhere.ran WHERE by LIKE 'syncctl%'");
        assert_eq!(ran.len(), 0, "pooled: {pooled}");
        world.assert_no_leftovers();
    }
}
