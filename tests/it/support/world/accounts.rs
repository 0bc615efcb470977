//! Users and their accounts.

use super::World;

impl World {
    pub fn users(&self) -> i64 {
        self.count("SELECT count(*) FROM users")
    }

    /// The addresses of all users, sorted.
    pub fn emails(&self) -> Vec<String> {
        self.query("SELECT email FROM users ORDER BY email").iter().map(|row| row.get(0)).collect()
    }

    /// How many accounts are in this state.
    pub fn accounts_in(&self, state: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM accounts WHERE state = '{state}'"))
    }

    /// Makes the next run request new access tokens.
    pub fn forget_access_tokens(&self) {
        self.execute("UPDATE accounts SET access_token = NULL, token_expires_at = NULL");
    }

    /// Gives a user the name that addresses like `ai+name@example.com` contain.
    pub fn set_username(&self, user: &str, name: &str) {
        self.execute(&format!("UPDATE users SET username = '{name}' WHERE email = '{user}'"));
    }
}
