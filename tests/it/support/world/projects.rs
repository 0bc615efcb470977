//! Projects of documents, and the model that assigns them.

use super::World;

impl World {
    /// The id of a project.
    pub fn project_id(&self, name: &str) -> String {
        self.query(&format!("SELECT id::text FROM projects WHERE name = '{name}'"))[0].get(0)
    }

    /// How many documents have a decision, be it a project or none.
    pub fn decided_documents(&self) -> i64 {
        self.count("SELECT count(*) FROM document_projects")
    }

    /// How many decisions were made by `human`, `model`, `kin` and so on.
    pub fn documents_decided_by(&self, who: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM document_projects WHERE decided_by = '{who}'"))
    }

    /// Makes every question that waits for the model endpoint due.
    pub fn ask_again_now(&self) {
        self.execute("UPDATE document_judgements SET ask_at = now() WHERE ask_at IS NOT NULL");
    }

    /// The used tokens of the only day that has a budget.
    pub fn budget_tokens(&self) -> i64 {
        self.count("SELECT tokens FROM model_budgets")
    }
}
