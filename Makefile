# qoe-router. `make help` lists what there is; each target does all of its own set-up.

CARGO ?= cargo
# Without a terminal to draw progress on, hundreds of lines that say "Compiling" would bury the rest.
QUIET := $(shell [ -t 2 ] || echo --quiet)

# There is one release build, which all targets share: one set of packages and features, one triple, one set of flags.
# Another set would compile everything again. It is static where the C library can be, as in an image.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE = $(abspath $(or $(CARGO_TARGET_DIR),target))/$(HOST)/release
STATIC = $(if $(wildcard $(shell $(CC) -print-file-name=libc.a)),-C target-feature=+crt-static)

.DEFAULT_GOAL := help
.PHONY: help build build-tests prepare demo lab replay test test-fast test-vllm test-cluster bench bench-control lint clippy deny chart crds peers clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the release binaries into target/TRIPLE/release
	@echo 'building the release: 6 minutes if nothing is built yet' >&2
	RUSTFLAGS="$$RUSTFLAGS $(STATIC)" $(CARGO) build $(QUIET) --release --target $(HOST) \
	  -p qoe-controller -p qoe-router -p qoe-sim -p qoe-bench --features qoe-bench/control

prepare: ## Fetch and build all that the tests need, side by side: 20 minutes on two cores, once
	tests/prepare.sh

demo: build ## Round-robin against QoE routing on four simulated GPUs, side by side (KEEP=1 leaves it running)
	$(RELEASE)/qoe-bench demo $(if $(KEEP),--keep)

lab: build ## Policies compared in virtual time, on made-up workloads and public traces: writes docs/lab.md
	set -- --seeds 5 --markdown docs/lab.md $(LAB_ARGS); \
	for name in azure mooncake; do \
	  if trace=$$(tests/traces/fetch.sh $$name); then set -- "$$@" --$$name "$$trace"; \
	  else echo "the lab runs without the trace of $$name" >&2; fi; \
	done; \
	$(RELEASE)/qoe-bench lab "$$@"

replay: build ## How far the lab can be believed: the same load in virtual time, through the router, and through vllm-router
	$(RELEASE)/qoe-bench replay --check $(REPLAY_ARGS)

test: build-tests ## Unit, property, system and control-plane tests, against a real API server; no network once built
	tests/kubernetes/install.sh control-plane >/dev/null
	$(CARGO) test --workspace

test-fast: ## The same without Kubernetes: what to run all day
	$(CARGO) test --workspace --exclude qoe-control-tests

build-tests:
	@echo 'building the tests: 3 minutes if nothing is built yet' >&2
	$(CARGO) test $(QUIET) --workspace --no-run

test-vllm: build ## The same router before real vLLM servers on this CPU, with real KV transfer (ONLY=word for some)
	QOE_ROUTER_BIN=$(RELEASE)/qoe-router tests/vllm/run.sh $(ONLY)

test-cluster: build ## Helm install on a real one-node cluster: first token, churn, upgrade, outage, rotation (root, Debian, Go)
	QOE_ROUTER_PROGRAMS=$(RELEASE) tests/cluster/run.sh

chart: ## Lint and render the chart and deploy/, against the schemas of Kubernetes 1.31 to 1.34
	tests/chart/run.sh

crds: ## Write crds/ and what is made of it anew
	$(CARGO) run --quiet -p qoe-controller -- crd >crds/qoeroutes.yaml
	cp crds/qoeroutes.yaml charts/qoe-router/files/qoeroutes.yaml
	PATH="$$(tests/kubernetes/install.sh cli):$$PATH" deploy/kustomize/render.sh

bench: build peers ## What routing costs, beside Envoy and vllm-router in one run
	$(RELEASE)/qoe-bench relay $(BENCH_ARGS)

bench-control: build ## From a pod's change to the routers, against a real API server: 1,000 pods x 10 routers, 10,000 x 3
	PATH="$$(tests/kubernetes/install.sh control-plane):$$PATH" $(RELEASE)/qoe-bench control $(BENCH_ARGS)

peers:
	tests/peers/install.sh

lint: ## Format, clippy, licences and forbidden dependencies
	$(CARGO) fmt --all --check
	@tree=$$($(CARGO) tree -p qoe-router -e normal --prefix none) || exit 1; \
	if printf '%s\n' "$$tree" | grep -E '^kube'; then echo 'qoe-router must not depend on kube' >&2; exit 1; fi
	@$(MAKE) --no-print-directory clippy deny

clippy:
	@echo 'running clippy: 2 minutes if nothing is checked yet' >&2
	$(CARGO) clippy $(QUIET) --workspace --all-targets --all-features -- -D warnings

deny:
	deny=$$(tests/lint/cargo-deny.sh) && "$$deny" --log-level error check bans licenses sources

clean: ## Remove what was built here (the cache of large tools stays: $QOE_ROUTER_CACHE)
	$(CARGO) clean
