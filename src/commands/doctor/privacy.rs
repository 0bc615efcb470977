//! What other roles of the database may do with what is ours.

use super::Findings;
use crate::db::Pool;
use crate::db::foreign_grants::{self, Foreign, Right};

const CHECK: &str = "privacy";
/// So many names stand for more.
const SHOWN: usize = 5;

pub async fn check(pool: &Pool, found: &mut Findings) -> anyhow::Result<()> {
    if let Some(foreign) = foreign_grants::read(pool).await? {
        report_grants(&foreign, found);
    }
    Ok(())
}

fn report_grants(foreign: &Foreign, found: &mut Findings) {
    let Foreign { schema, creators, rights, open, code } = foreign;
    if !creators.is_empty() {
        let roles = creators.join(", ");
        found.fail(
            CHECK,
            format!(
                "{roles} may create in schema {schema:?}: a function there can run in place of one of PostgreSQL's own, with the rights of the jobs"
            ),
            format!("REVOKE CREATE ON SCHEMA {schema:?} FROM {roles}; or let syncctl use a schema of its own (see the head of sql/roles.sql)"),
        );
    }
    if !code.is_empty() {
        found.fail(
            CHECK,
            format!("jobs may run the code of other roles in schema {schema:?}: {}", some(code)),
            "look at it, and drop it or give it to the owner of the tables; then REVOKE CREATE ON SCHEMA as above",
        );
    }
    for Right { role, objects, privileges } in rights {
        found.fail(
            CHECK,
            format!(
                "{role} has rights of its own ({}) on {} tables, columns, sequences or functions: {}",
                privileges.join(", "),
                objects.len(),
                some(objects)
            ),
            "run sql/roles.sql, which takes them; a dashboard reads as a member of syncctl_readonly (GRANT syncctl_readonly TO …)",
        );
    }
    if !open.is_empty() {
        found.fail(
            CHECK,
            format!("{} tables have no row-level security, unlike the others: {}", open.len(), some(open)),
            "run sql/roles.sql again: it is for after each `syncctl db migrate`",
        );
    }
    if creators.is_empty() && code.is_empty() && rights.is_empty() && open.is_empty() {
        found.ok(CHECK, format!("no other role has rights of its own in schema {schema:?}"));
    }
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} …") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn each_kind_of_right_is_told_by_itself_and_none_is_well() {
        let none = Foreign { schema: "s".into(), creators: vec![], rights: vec![], open: vec![], code: vec![] };
        let name = || vec!["x".to_owned()];
        let right = Right { role: "anon".into(), objects: (0..7).map(|n| format!("t{n}")).collect(), privileges: name() };
        let table = [
            (none.clone(), Level::Ok, "no other role has rights of its own"),
            (Foreign { creators: name(), ..none.clone() }, Level::Fail, "x may create in schema \"s\""),
            (Foreign { code: name(), ..none.clone() }, Level::Fail, "the code of other roles"),
            (Foreign { rights: vec![right], ..none.clone() }, Level::Fail, "anon has rights of its own (x) on 7 tables"),
            (Foreign { open: name(), ..none }, Level::Fail, "no row-level security"),
        ];
        for (foreign, level, part) in table {
            let mut found = Findings::default();
            report_grants(&foreign, &mut found);
            assert_eq!(found.0.iter().map(|line| line.level).collect::<Vec<_>>(), [level], "{part}");
            assert!(found.0[0].message.contains(part), "{}", found.0[0].message);
        }
    }
}
