//! What read statements may be sent on.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, Transaction};

use super::Connection;

/// A source for read statements: a connection (each statement on its own) or a transaction.
pub trait Reads: Sync {
    /// Returns the rows of a statement.
    fn query_typed(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// Returns the single row of a statement.
    fn query_typed_one(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> impl Future<Output = Result<Row, Error>> + Send;
}

impl Reads for Connection {
    async fn query_typed(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        self.query_typed(statement, parameters).await
    }

    async fn query_typed_one(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Row, Error> {
        self.query_typed_one(statement, parameters).await
    }
}

impl Reads for Transaction<'_> {
    async fn query_typed(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        self.query_typed(statement, parameters).await
    }

    async fn query_typed_one(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Row, Error> {
        self.query_typed_one(statement, parameters).await
    }
}
