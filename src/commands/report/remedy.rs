//! Remedies for the failures in run summaries.

use crate::error::Class;

/// Returns the remedy in one line. Summaries have the classes of `error::Class`, classes of other versions, and classes that only runs use.
pub fn remedy(class: &str) -> String {
    let text = match (Class::from_name(class), class) {
        // A summary does not record the kinds of the accounts.
        (Some(class @ (Class::AuthRevoked | Class::ClientRefused | Class::ScopeMissing)), _) => {
            let delegated = "for users of a service account, `syncctl accounts list` shows what an administrator enters";
            return format!("{}; {delegated}", class.remedy());
        }
        (Some(class), _) => class.remedy(),
        (None, "unknown_user") => "correct the ids on the job's command line: they are unknown",
        (None, _) => "read the example: this version does not know the class",
    };
    text.to_owned()
}
