//! What to do about what a summary counts as failed.

use crate::error::Class;

/// In a line. Summaries have the classes of `error::Class`, those of other versions, and what a run counts besides.
pub fn remedy(class: &str) -> String {
    let told = match (Class::from_name(class), class) {
        // A summary does not say whose grants they are.
        (Some(class @ (Class::AuthRevoked | Class::ClientRefused | Class::ScopeMissing)), _) => {
            let delegated =
                "where a service account acts for the user, `syncctl accounts list` says what an administrator enters";
            return format!("{}; {delegated}", class.remedy());
        }
        (Some(class), _) => class.remedy(),
        (None, "unknown_user") => "correct the ids on the command line of the job: they name nothing that is known",
        (None, _) => "read the example: this version does not know the class",
    };
    told.to_owned()
}
