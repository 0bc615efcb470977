# `make demo` and `make test` do all the set-up themselves. See README.md.

.PHONY: demo test test-slow official-client chaos chaos-heal bench bench-push bench-pace bench-week bench-classify deb static release fuzz audit check fmt clippy doc deny

demo: ## The main job against a simulated Google; TAKEOUT=dir runs it on your own export
	scripts/ensure-postgres
	scripts/demo

# The tests of the main job, which must pass by every way to PostgreSQL.
main_job = first_sync:: calendars:: resync:: faults:: quarantine:: sharing::

test: ## Every test, against a real PostgreSQL and PgBouncer; those of the main job also through the pooler and over TLS
	scripts/ensure-postgres
	scripts/ensure-pgbouncer
	scripts/ensure-chromium
	scripts/ensure-systemd-analyze
	scripts/ensure-prometheus
	cargo test --workspace --locked
	SYNCCTL_TEST_WAY=pooler cargo test --locked --test it -- $(main_job)
	SYNCCTL_TEST_WAY=tls cargo test --locked --test it -- $(main_job)
	scripts/official-client

test-slow: ## Kills, faults, sharing and the budget where each answer takes as long as Google's; about ten minutes, and no part of `make test`
	scripts/ensure-postgres
	SYNCCTL_TEST_WAY=slow cargo test --locked --test it -- kill:: faults:: sharing:: dry_run polls_together_keep_the_budget

official-client: ## Google's own client and discovery documents judge the simulated Google, and what syncctl asks of it
	scripts/ensure-postgres
	scripts/official-client

chaos: ## Kills, faults and blows of all kinds beside the work of several hosts, then everything compared; SECONDS, SEED, SEEDS
	scripts/ensure-postgres
	scripts/ensure-pgbouncer
	cargo test --release --locked --test chaos -- --seconds $(or $(SECONDS),600) --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1)

chaos-heal: ## How long after each kind of blow everything is in step again, at cron lines of a minute
	scripts/ensure-postgres
	scripts/ensure-pgbouncer
	cargo test --release --locked --test chaos -- --heal

bench: ## Prints the figures and writes target/bench.json
	scripts/ensure-postgres
	cargo bench --locked --bench main_job

bench-push: ## What push brings and withstands; prints tables and writes target/bench-push.json
	scripts/ensure-postgres
	cargo bench --locked --bench push

bench-pace: ## How syncctl does at Google's quotas and times, beside the bounds that these set; writes target/bench-pace.json
	scripts/ensure-postgres
	cargo bench --locked --bench pace

bench-week: ## A week of simulated time through the real binary: how the budget is kept, and delays beside those of sync simulate
	scripts/week

bench-classify: ## How often documents come into the right project, on texts from the package registries; writes target/bench-classify.json
	scripts/ensure-postgres
	scripts/corpora
	cargo bench --locked --bench classify -- net

deb: ## The Debian package, in target/debian
	scripts/deb

static: ## One file that runs on any Linux of this processor, in target/*-linux-musl/release
	scripts/static

release: ## Binary, bill of materials (CycloneDX) and checksums, in target/release-files
	scripts/release

fuzz: ## Ten million broken inputs for what reads strangers' bytes: no panic, no overflow, bounded memory; INPUTS, SEED, ONLY
	cargo test --release --locked --test fuzz -- --inputs $(or $(INPUTS),10000000) --seed $(or $(SEED),1) $(addprefix --only ,$(ONLY))

audit: ## Cargo.lock against RustSec's advisories; ADVISORY_DB=folder names a copy of them; says NOT AUDITED without one
	scripts/audit

check: fmt clippy doc deny ## What CI asks beyond the tests

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

deny: ## Licences, banned crates and sources of all dependencies
	scripts/check-dependencies
