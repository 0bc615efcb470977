//! What a run reserves in the ledger before its polls, and gives back when it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Meter, Project, ledger, locked};
use crate::db::quota;

impl Meter {
    /// Reserves units for polls that are about to be made, so that they do not wait for the ledger one after the other. Units that are not granted are
    /// requested again by the polls that need them.
    pub async fn expect(&self, project: &str, units: u64) -> anyhow::Result<()> {
        if !self.writes {
            return Ok(());
        }
        let project = self.project(project);
        let per_minute = ledger::signed(self.limits.project_per_minute);
        let per_day = ledger::signed(self.limits.per_day);
        let target = ledger::signed(units).min(per_minute / 20);
        // Not under the block's lock: polls in progress meanwhile spend what remains.
        let (at, limits) = (Instant::now(), quota::Limits { per_minute, per_day });
        let answer = quota::reserve(&self.pool, self.service, &project.name, target, quota::Carried::default(), &limits).await?;
        if let quota::Reservation::Granted { second } = answer {
            project.account.ledger.lock().await.granted(target, second, at);
        }
        Ok(())
    }

    /// Gives back unspent reserved units, and records what polls spent.
    pub async fn release(&self) -> anyhow::Result<()> {
        let projects: Vec<Arc<Project>> = locked(&self.projects).drain().map(|(_, project)| project).collect();
        let (mut unspent, mut polled) = (Vec::new(), Vec::new());
        for project in projects {
            polled.push((project.name.clone(), ledger::signed(project.polled.load(Ordering::Relaxed))));
            unspent.push(project.account.unspent(project.name.clone()).await);
            let users: Vec<_> = locked(&project.users).drain().collect();
            for (user, account) in users {
                unspent.push(account.unspent(format!("{}/{user}", project.name)).await);
            }
        }
        unspent.retain(|unspent| unspent.left.units > 0);
        polled.retain(|(_, units)| *units > 0);
        if unspent.is_empty() && polled.is_empty() {
            Ok(())
        } else {
            quota::release(&self.pool, self.service, &unspent, &polled).await
        }
    }
}
