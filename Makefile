# `make demo` and `make test` install what they need. See README.md.

.PHONY: demo test test-slow official-client chaos chaos-heal bench bench-push bench-pace bench-peers bench-scale bench-week bench-classify deb static image containers release fuzz audit check fmt clippy doc deny

demo: ## Run the main job against a simulated Google; TAKEOUT=DIR uses your own export
	scripts/ensure-postgres
	scripts/demo

# Tests of the main job, which must pass with every kind of connection to PostgreSQL.
main_job = first_sync:: calendars:: resync:: faults:: quarantine:: sharing::

test: ## Run all tests against real PostgreSQL and PgBouncer servers; the tests of the main job also through the pooler and over TLS
	scripts/ensure-postgres
	scripts/ensure-pgbouncer
	scripts/ensure-chromium
	scripts/ensure-systemd-analyze
	scripts/ensure-prometheus
	scripts/ensure-receivers
	cargo test --workspace --locked
	SYNCCTL_TEST_WAY=pooler cargo test --locked --test it -- $(main_job)
	SYNCCTL_TEST_WAY=tls cargo test --locked --test it -- $(main_job)
	scripts/official-client
	scripts/demo-check
	scripts/containers

test-slow: ## Run the tests of kills, faults, sharing and the budget with Google's response times; about ten minutes, not part of `make test`
	scripts/ensure-postgres
	SYNCCTL_TEST_WAY=slow cargo test --locked --test it -- kill:: faults:: sharing:: dry_run polls_together_keep_the_budget

official-client: ## Check the simulated Google and syncctl's requests with Google's own client and discovery documents
	scripts/ensure-postgres
	scripts/official-client

chaos: ## Run several hosts under kills and faults of all kinds, then compare all data; SECONDS, SEED, SEEDS
	scripts/ensure-postgres
	scripts/ensure-pgbouncer
	cargo test --release --locked --test chaos -- --seconds $(or $(SECONDS),600) --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1)

chaos-heal: ## Measure the recovery time after each kind of fault, with cron jobs every minute
	scripts/ensure-postgres
	scripts/ensure-pgbouncer
	cargo test --release --locked --test chaos -- --heal

bench: ## Run the main benchmarks; writes target/bench.json
	scripts/ensure-postgres
	cargo bench --locked --bench main_job

bench-push: ## Measure benefits and load limits of push; writes target/bench-push.json
	scripts/ensure-postgres
	cargo bench --locked --bench push

bench-pace: ## Measure syncctl with Google's quotas and response times, relative to the bounds they set; writes target/bench-pace.json
	scripts/ensure-postgres
	cargo bench --locked --bench pace

bench-peers: ## Measure idle passes beside Google's client and asyncio, and with more streams and processes; writes target/bench-peers.json
	scripts/ensure-postgres
	cargo bench --locked --bench peers

bench-scale: ## Measure questions and jobs among ten million events and messages (25 GB of disk); EVENTS, MESSAGES, FILES, USERS
	scripts/ensure-postgres
	TMPDIR=$(or $(TMPDIR),/tmp) cargo bench --locked --bench scale

bench-week: ## Simulate a week with the real binary: adherence to the budget, and delays compared with `sync simulate`
	scripts/week

bench-classify: ## Measure how often documents are assigned to the right project, on texts from the package registries; writes target/bench-classify.json
	scripts/ensure-postgres
	scripts/corpora
	cargo bench --locked --bench classify -- net

deb: ## Build the Debian package in target/debian
	scripts/deb

static: ## Build a static binary for any Linux on this architecture, in target/*-linux-musl/release
	scripts/static

image: ## Build the container image in target/image; SYNCCTL=FILE is an existing static binary
	scripts/image

containers: ## Check the image, compose.yaml and the manifests for Kubernetes against the binary and Kubernetes' schemas
	scripts/containers

release: ## Build binary, bill of materials (CycloneDX) and checksums in target/release-files
	scripts/release

fuzz: ## Feed ten million broken inputs to all parsers of untrusted data: no panic, no overflow, bounded memory; INPUTS, SEED, ONLY
	cargo test --release --locked --test fuzz -- --inputs $(or $(INPUTS),10000000) --seed $(or $(SEED),1) $(addprefix --only ,$(ONLY))

audit: ## Check Cargo.lock against RustSec's advisories; ADVISORY_DB=FOLDER is a copy of them, without which it prints NOT AUDITED
	scripts/audit

check: fmt clippy doc deny ## Run the checks of CI other than tests

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

deny: ## Check licences, banned crates and sources of all dependencies
	scripts/check-dependencies
