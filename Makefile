# `make demo` and `make test` do all the set-up themselves. See README.md.

.PHONY: demo test bench check fmt clippy doc deny

demo: ## The main job against a simulated Google; TAKEOUT=dir runs it on your own export
	scripts/ensure-postgres
	scripts/demo

test: ## Every test, against a real PostgreSQL and PgBouncer
	scripts/ensure-postgres
	scripts/ensure-pgbouncer
	cargo test --workspace --locked

bench: ## Prints the figures and writes target/bench.json
	scripts/ensure-postgres
	cargo bench --locked --bench main_job

check: fmt clippy doc deny ## What CI asks beyond the tests

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

deny: ## Licences, banned crates and sources of all dependencies
	scripts/check-dependencies
