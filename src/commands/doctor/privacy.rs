//! Checks what other database roles can do with syncctl's tables and functions.

use super::Findings;
use crate::db::Pool;
use crate::db::foreign_grants::{self, Foreign, Right};

const CHECK: &str = "privacy";
/// Maximum number of names to list.
const MAX_NAMES: usize = 5;

pub async fn check(pool: &Pool, findings: &mut Findings) -> anyhow::Result<()> {
    if let Some(foreign) = foreign_grants::read(pool).await? {
        report_grants(&foreign, findings);
    }
    Ok(())
}

fn report_grants(foreign: &Foreign, findings: &mut Findings) {
    let Foreign { schema, creators, rights, open, code } = foreign;
    if !creators.is_empty() {
        let roles = creators.join(", ");
        findings.fail(
            CHECK,
            format!(
                "{roles} may create objects in schema {schema:?}: a function there can shadow one of PostgreSQL's own and run with the rights of the jobs"
            ),
            format!("REVOKE CREATE ON SCHEMA {schema:?} FROM {roles}; or give syncctl its own schema (see the top of sql/roles.sql)"),
        );
    }
    if !code.is_empty() {
        findings.fail(
            CHECK,
            format!("jobs may run the code of other roles in schema {schema:?}: {}", some(code)),
            "review it, and drop it or give it to the owner of the tables; then REVOKE CREATE ON SCHEMA as above",
        );
    }
    for Right { role, objects, privileges } in rights {
        findings.fail(
            CHECK,
            format!(
                "{role} has its own rights ({}) on {} tables, columns, sequences or functions: {}",
                privileges.join(", "),
                objects.len(),
                some(objects)
            ),
            "run sql/roles.sql, which revokes them; for a dashboard, use a member of syncctl_readonly (GRANT syncctl_readonly TO …)",
        );
    }
    if !open.is_empty() {
        findings.fail(
            CHECK,
            format!("{} tables have no row-level security, unlike the others: {}", open.len(), some(open)),
            "run sql/roles.sql again, as after each `syncctl db migrate`",
        );
    }
    if creators.is_empty() && code.is_empty() && rights.is_empty() && open.is_empty() {
        findings.ok(CHECK, format!("no other role has its own rights in schema {schema:?}"));
    }
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > MAX_NAMES { format!("{shown} …") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn each_kind_of_privilege_is_reported_separately() {
        let none = Foreign { schema: "s".into(), creators: vec![], rights: vec![], open: vec![], code: vec![] };
        let name = || vec!["x".to_owned()];
        let right = Right { role: "anon".into(), objects: (0..7).map(|n| format!("t{n}")).collect(), privileges: name() };
        let table = [
            (none.clone(), Level::Ok, "no other role has its own rights"),
            (Foreign { creators: name(), ..none.clone() }, Level::Fail, "x may create objects in schema \"s\""),
            (Foreign { code: name(), ..none.clone() }, Level::Fail, "the code of other roles"),
            (Foreign { rights: vec![right], ..none.clone() }, Level::Fail, "anon has its own rights (x) on 7 tables"),
            (Foreign { open: name(), ..none }, Level::Fail, "no row-level security"),
        ];
        for (foreign, level, part) in table {
            let mut findings = Findings::default();
            report_grants(&foreign, &mut findings);
            assert_eq!(findings.0.iter().map(|line| line.level).collect::<Vec<_>>(), [level], "{part}");
            assert!(findings.0[0].message.contains(part), "{}", findings.0[0].message);
        }
    }
}
