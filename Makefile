# Every target sets itself up: on a fresh machine with Node >= 20, Go and make, each of them can be the first one typed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Node 24 and every other tool come from node_modules and .tools, whatever the machine has.
export PATH := $(CURDIR)/node_modules/.bin:$(CURDIR)/.tools:$(PATH)
DELIVER := node src/bin/deliver.ts

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up -----------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: ## Install what the others need: npm packages (with Node 24 and Postgres), kustomize and k6
	@$(MAKE) -j2 node_modules/.installed .tools/.installed
	@node -e 'const v = process.versions.node; if (!v.startsWith("24.")) { console.error(`Node 24 was expected from node_modules, but $${v} runs. npm must be allowed to run install scripts (ignore-scripts=false): rm -rf node_modules && make setup`); process.exit(12) }'

# Not `npm ci`: the lock file leaves out optional packages of other platforms that the registry it was made from did not have
# (some of biome's), and npm 11 takes that for a lock file out of step. `install --no-save` installs what the lock file says.
node_modules/.installed: package-lock.json
	@echo "setup: npm packages"
	@npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@

# Versions are pinned in tools/go.mod. Without Go, the ones on PATH serve.
.tools/.installed: tools/go.mod tools/go.sum
	@mkdir -p .tools
	@if command -v go > /dev/null; then \
	  echo "setup: kustomize and k6 (built from Go modules, some minutes the first time)"; \
	  cd tools && GOFLAGS=-mod=readonly go build -o ../.tools/ sigs.k8s.io/kustomize/kustomize/v5 go.k6.io/k6; \
	else \
	  for tool in kustomize k6; do command -v $$tool > /dev/null || { echo "$$tool is missing: install Go (it is then built), or $$tool itself" >&2; exit 12; }; done; \
	fi
	@touch $@

# --- the two commands -------------------------------------------------------------------------------------------------

.PHONY: rehearse
rehearse: setup ## Walk releases of this commit to production on this machine, and see a bad one refused
	@$(DELIVER) rehearse --yes

.PHONY: serve
serve: setup ## Cloud Deploy's API on this machine, for an unmodified gcloud; Ctrl-C ends it
	@$(DELIVER) serve

.PHONY: stack
stack: setup ## What docker-compose.yml starts, as processes on loopback; Ctrl-C ends it (ONCE=1 completes one run and ends)
	@node tools/stack.ts $(if $(ONCE),--once)

.PHONY: test
test: setup typecheck lint surface-check lint-delivery ## Types, lint, surface, then unit, property and system tests on a real Postgres
	@vitest run

.PHONY: tests
tests: setup ## The tests alone (TESTS=paths: some): a build has a step of its own for each other part of `make test`
	@vitest run $(TESTS)

.PHONY: audit
audit: setup ## Ask npm for known weaknesses of the packages that the image holds (10: found some; 12: it did not answer)
	@node tools/audit.ts

.PHONY: test-chaos
test-chaos: setup ## Play 200 random schedules of faults on real runners and judge the histories (SEED=n plays one again)
	@node test/chaos/run.ts

.PHONY: test-chaos-checker
test-chaos-checker: setup ## Play the schedules on builds that break promises: each must be caught
	@node test/chaos/sabotage.ts

.PHONY: test-storage-checker
test-storage-checker: setup ## Break five promises of the grouped storage and the journal, one at a time: each must be caught
	@node test/chaos/storage-sabotage.ts

.PHONY: takeover
takeover: setup ## Measure how soon work goes on after a kill, a stop, a freeze, a power cut, a lost database; sleeps and first calls; writes docs/takeover.md (ROUNDS)
	@node test/chaos/takeover.ts

.PHONY: test-gcloud
test-gcloud: setup ## Drive the rehearsal's server with the real gcloud: apply, release, approve, advance, a failed verify, rollback
	@GCLOUD=1 vitest run --project parts test/rehearsal/gcloud.test.ts --silent=false

.PHONY: test-drivers
test-drivers: setup ## The suite of a cluster's behaviours, on the driver that runs pods as processes (part of `make test`)
	@vitest run --project parts test/drivers src/rehearsal/drivers

# Pods are started, killed and pruned in namespaces of the suite's own, and a node is drained: never on a cluster of others.
.PHONY: test-cluster
test-cluster: setup ## The same suite on the cluster of kubectl's context. CLUSTER_IMAGE=name@sha256:... is the Dockerfile's image, pushed where nodes pull
	@: "$${CLUSTER_IMAGE:?is missing: build the Dockerfile, push it where the nodes of the cluster can pull it, and give its name by digest: make test-cluster CLUSTER_IMAGE=registry/agents@sha256:...}"
	@CLUSTER_IMAGE="$$CLUSTER_IMAGE" vitest run --project cluster

.PHONY: drill-restore
drill-restore: setup ## Restore a backup of a Postgres with work in flight to a moment, and carry on there what was open
	@vitest run --project system test/system/restore.test.ts --silent=false

.PHONY: test-restarts
test-restarts: setup ## Kill the rehearsal's server RESTARTS=100 times at any of its deeds (SEED=n kills at the same ones again; part of `make test`: 6)
	@SEED="$${SEED:-$$RANDOM}" RESTARTS="$${RESTARTS:-100}" vitest run --project parts test/rehearsal/restarts.test.ts --silent=false

.PHONY: test-fuzz
test-fuzz: setup ## Send the rehearsal's server 20,000 generated requests (SEED=n sends the same ones again; part of `make test`: 400)
	@SEED="$${SEED:-$$RANDOM}" REQUESTS="$${REQUESTS:-20000}" vitest run --project parts test/rehearsal/fuzz.test.ts

# Two pushes with every step of cloudbuild.yaml would run all tests twice; TESTS= runs them all.
.PHONY: test-push
test-push: setup ## Push this commit to a rehearsal of its own, see it reach staging, and a commit that strands open work refused
	@OWN_PUSH=1 TESTS="$(or $(TESTS),src/domain)" vitest run --project parts test/rehearsal/own-push.test.ts --silent=false

# --- parts ------------------------------------------------------------------------------------------------------------

.PHONY: typecheck
typecheck: setup ## Types only
	@tsc -p .
	@tsc -p src/rehearsal/console/page

.PHONY: lint
lint: setup ## Formatter and linter, and what workflow code may not touch, without changing anything
	@biome check --error-on-warnings .
	@node tools/workflow-lint.ts

.PHONY: format
format: setup ## Format, and fix what can be fixed
	@biome check --write .

.PHONY: surface
surface: setup ## Write surface.json anew from the code (review and commit it)
	@$(DELIVER) surface

.PHONY: surface-check
surface-check: setup ## Fail when surface.json is not what the code says
	@$(DELIVER) surface --check

.PHONY: manifests
manifests: setup ## Render the overlays and check them against the manifest rules
	@$(DELIVER) gate manifests

.PHONY: migrations
migrations: setup ## Apply all migrations to a Postgres of its own, and compare what stands there with the history
	@node tools/migrations.ts

.PHONY: goldens
goldens: setup ## Write anew what every overlay renders to (review and commit the diff; `make test` compares)
	@node test/goldens/write.ts

.PHONY: lint-delivery
lint-delivery: setup ## Read clouddeploy/, skaffold.yaml and cloudbuild*.yaml strictly (part of `make test`)
	@$(DELIVER) lint

.PHONY: google-schemas
google-schemas: setup ## Write Google's shapes of builds and pipelines anew (needs pip and unzip)
	@mkdir -p .tools/google && cd .tools/google && rm -f ./* && \
	  pip download --quiet --no-deps google-api-python-client==2.202.0 && \
	  unzip -qj ./*.whl '*documents/clouddeploy.v1.json' '*documents/cloudbuild.v1.json'
	@node tools/google-schemas.ts .tools/google

.PHONY: hazards
hazards: setup ## Judge the whole corpus of hazards, print it, show that no rule of a gate could be missed, and kill the migrator at every statement
	@HAZARDS=all vitest run --project parts test/hazards src/gates/migrations/Killed.test.ts
	@cat node_modules/.cache/hazards/table.txt node_modules/.cache/hazards/typescript.txt

.PHONY: bench
bench: setup test/bench/dbos/node_modules/.installed test/bench/restate/node_modules/.installed ## Measure workflows beside stock Effect, DBOS, Restate and pgbench, and keep the figures (SUITE, ROUNDS, SECONDS, ONLY, KEEP)
	@node test/bench/workflows.ts

.PHONY: bench-starts
bench-starts: setup ## Measure how long fresh processes take until they are of use, with V8's compile cache and without (ROUNDS, KEEP)
	@node test/bench/starts.ts

.PHONY: bench-page
bench-page: setup ## Write docs/performance.md and its plots from the figures that are kept
	@node test/bench/write-page.ts

# A folder of its own: nothing of it is in the application's packages.
test/bench/dbos/node_modules/.installed: test/bench/dbos/package-lock.json
	@cd test/bench/dbos && npm ci --omit=optional --no-audit --no-fund --loglevel=error
	@touch $@

# Its server is a program that npm brings for most processors: where it does not, the measurement goes without. No scripts: one of
# its packages reports installations.
test/bench/restate/node_modules/.installed: test/bench/restate/package-lock.json
	@cd test/bench/restate && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: bench-sockets
bench-sockets: setup ## Measure one gateway with 2,000 idle and 200 busy sockets (IDLE, BUSY, RATE, SECONDS)
	@node test/bench/sockets.ts

.PHONY: bench-admission
bench-admission: setup ## Measure starts at five times what can be worked off; writes docs/admission.md (OPEN, CROWDED, SECONDS, ALONE, TIMES)
	@node test/bench/admission.ts

.PHONY: system-doc
system-doc: setup ## Write docs/system.md: what the system promises, and the tests that show it
	@node test/promises/write.ts
.PHONY: bench-gates
bench-gates: setup ## Measure the workflow gate's layers with 100,000 open executions (OPEN, FINISHED, RELEASES, ROUNDS, PAIRS, SECONDS, ONLY, ADD, KEEP)
	@node test/bench/gates.ts

.PHONY: bench-retention
bench-retention: setup ## Measure how ended executions leave engine tables of a million rows (EXECUTIONS)
	@node test/bench/retention.ts

.PHONY: preview
preview: setup ## Show what every Pulumi stack would make, and hold it against the policies; needs no cloud account
	@node infra/preview.ts

.PHONY: infra-docs
infra-docs: setup ## Write docs/iam.md and docs/platform.md anew from what the stacks would make
	@node infra/preview.ts --docs

.PHONY: pin-images
pin-images: setup ## Write today's digests of the base images into the Dockerfiles (asks their registries)
	@node tools/pin-images.ts

.PHONY: build
build: setup ## Build what the image holds, into dist/
	@node tools/build.ts --out dist

.PHONY: clean
clean: ## Remove what was built and rehearsed; npm packages and tools stay
	@rm -rf dist .rehearsal
