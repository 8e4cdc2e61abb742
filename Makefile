# Every command of the project. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := node_modules/.bin
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
VERSION = $(shell node -p 'require("./shared/package.json").version')
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
check: build ## Types, lint, format, proof that the lint rules bite, the tree, generated documents
	@$(MAKE) -j2 $(if $(filter output-sync,$(.FEATURES)),-O) check-types lint check-format check-lint-bites check-tree check-docs check-compose check-nomad check-observability

.PHONY: check-types
check-types: $(INSTALLED)
	@$(BIN)/tsc --noEmit -p tsconfig.json

.PHONY: lint
lint: $(INSTALLED) ## ESLint alone
	@$(BIN)/eslint .

.PHONY: check-format
check-format: $(INSTALLED)
	@$(BIN)/prettier --check --log-level warn . || { echo 'Format with: make format' >&2; exit 1; }

.PHONY: format
format: $(INSTALLED) ## Format the code with Prettier
	@$(BIN)/prettier --write --log-level warn .

.PHONY: check-lint-bites
check-lint-bites: $(INSTALLED)
	@node scripts/check-lint-bites.mjs

.PHONY: check-tree
check-tree:
	@node scripts/check-tree.mjs

.PHONY: check-docs
check-docs:
	@node scripts/generate-docs.mjs --check

.PHONY: check-compose
check-compose:
	@node scripts/check-compose.mjs

.PHONY: check-nomad
check-nomad:
	@node scripts/check-nomad.mjs

.PHONY: check-observability
check-observability:
	@node scripts/check-observability.mjs

.PHONY: docs
docs: build ## Write the documents and the compose settings that are generated from the code
	@node scripts/generate-docs.mjs

.PHONY: test
test: build ## Unit and contract tests and the guarantees in their short form, on private servers
	@node scripts/test.mjs

.PHONY: e2e
e2e: build ## The guarantees in their long form, clusters and the browser, on private servers
	@node scripts/e2e.mjs

.PHONY: kill-nine
kill-nine: build ## Kill the firehose ROUNDS times under load and count what is missing (SEED=n repeats, SPOOL=true: spool in a folder)
	@node e2e/kill-nine.mjs --rounds=$(or $(ROUNDS),50) $(if $(SEED),--seed=$(SEED)) $(if $(filter true,$(SPOOL)),--spool)

.PHONY: chaos
chaos: build ## Faults of every kind under load for FOR=10m, then every event is accounted for (SEED=n repeats; SHAPE=clusters or standalone, SPOOL=memory, RATE=n)
	@node e2e/dist/chaos/main.js --for=$(FOR) --seed=$(SEED) --shape=$(SHAPE) --spool=$(SPOOL) --rate=$(RATE)

.PHONY: soak
soak: build ## 2,000 events/s for FOR=15m: whether memory, open handles and latency stay flat (SHAPE=clusters or standalone, RATE=n)
	@node e2e/dist/soak/main.js --for=$(FOR) --shape=$(SHAPE) --rate=$(RATE)

.PHONY: fuzz
fuzz: build ## Run every fuzzer for FOR=1m (SEED=n: from that seed on; ONLY=spool: the files whose path has it)
	@node scripts/fuzz.mjs --for=$(or $(FOR),1m) $(if $(SEED),--seed=$(SEED)) $(if $(ONLY),--only=$(ONLY))

.PHONY: sabotage
sabotage: build ## Break each promise by a patch in a copy of the tree and see its test fail (ONLY=gap-check-off: that patch alone)
	@node scripts/sabotage.mjs $(ONLY)

.PHONY: demo
demo: build ## Play the bundled recording through standalone, print events and alerts, and show the page of crash loops until Ctrl-C
	@node scripts/demo.mjs

.PHONY: bench
bench: build ## Measure everything against floors of the same run, into bench/results.md (ONLY=sink-worker: that row alone; SECONDS=20, ROUNDS=1: to try out; AGAINST=command AS=name: another forwarder)
	@node bench/dist/main.js $(ONLY) $(if $(SECONDS),--seconds=$(SECONDS)) $(if $(ROUNDS),--rounds=$(ROUNDS)) $(if $(PAGE),--page) $(if $(AGAINST),--against '$(AGAINST)' --as '$(or $(AS),other forwarder)')

.PHONY: bench-axes
bench-axes: build ## Measure how cost grows with rate, size, sink-workers and jobs, into bench/results.md (ONLY=size: that axis alone)
	@node bench/dist/main.js --axes $(ONLY) $(if $(SECONDS),--seconds=$(SECONDS)) $(if $(PAGE),--page)

.PHONY: up
up: ## Run the suite in containers (COMPOSE_PROFILES=demo,observability brings a simulated Nomad and dashboards)
	@$(COMPOSE) up --build --detach
	@$(COMPOSE) ps

.PHONY: down
down: ## Stop the suite in containers; what it stored stays
	@COMPOSE_PROFILES=demo,observability $(COMPOSE) down

.PHONY: image
image: ## Build the image of every service, labelled with version and commit
	@for service in firehose sink-worker crashloop-detector standalone simulator; do \
	  target=service; [ $$service != simulator ] || target=simulator; \
	  docker build --target $$target --build-arg SERVICE=$$service --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	    --build-arg CREATED=$$(git log -1 --format=%cI) -t hydrant-$$service -t hydrant-$$service:$(VERSION) .; \
	done

.PHONY: clean
clean: ## Remove what was built
	rm -rf .tap {shared,sinks,testing,simulator,e2e,bench,services/*}/dist
