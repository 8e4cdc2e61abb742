# Every command of the project. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := node_modules/.bin
INSTALLED := node_modules/.package-lock.json

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# npm writes this file last, so it is newer than the lock file exactly when the installed packages are those of the lock file.
$(INSTALLED): package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

.PHONY: build
build: $(INSTALLED) ## Compile every package to its dist folder
	@$(BIN)/tsc -b tsconfig.build.json
	@npm rebuild --ignore-scripts --silent >/dev/null

.PHONY: check
check: build ## Types, lint, proof that the lint rules bite, the tree, generated documents
	@$(MAKE) -j2 $(if $(filter output-sync,$(.FEATURES)),-O) check-types lint check-lint-bites check-tree check-docs

.PHONY: check-types
check-types: $(INSTALLED)
	@$(BIN)/tsc --noEmit -p tsconfig.json

.PHONY: lint
lint: $(INSTALLED) ## ESLint alone
	@$(BIN)/eslint .

.PHONY: check-lint-bites
check-lint-bites: $(INSTALLED)
	@node scripts/check-lint-bites.mjs

.PHONY: check-tree
check-tree:
	@node scripts/check-tree.mjs

.PHONY: check-docs
check-docs:
	@node scripts/generate-docs.mjs --check

.PHONY: docs
docs: build ## Write the documents that are generated from the code
	@node scripts/generate-docs.mjs

.PHONY: test
test: build ## Unit and contract tests and the guarantees, on private servers
	@node scripts/test.mjs

.PHONY: e2e
e2e: build ## The guarantees alone, on private servers
	@node scripts/e2e.mjs

.PHONY: demo
demo: build ## Play the bundled recording through standalone and print events and alerts
	@node scripts/demo.mjs

.PHONY: bench
bench: build ## Measure events per second and memory against floors of the same run
	@node bench/dist/main.js

.PHONY: clean
clean: ## Remove what was built
	rm -rf .tap {shared,sinks,testing,simulator,bench,services/*}/dist
