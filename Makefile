# qoe-router. `make help` lists what there is; each target does all of its own set-up.

CARGO ?= cargo
CACHE := $(or $(QOE_ROUTER_CACHE),$(HOME)/.cache/qoe-router)
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
RELEASE := $(abspath $(or $(CARGO_TARGET_DIR),target))/release

.DEFAULT_GOAL := help
.PHONY: help build demo lab replay test test-vllm test-cluster bench bench-control lint chart crds crds-fresh deny peers clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the release binaries
	$(CARGO) build --release -p qoe-router -p qoe-sim -p qoe-bench

demo: build ## Round-robin against QoE routing on four simulated GPUs, side by side (KEEP=1 leaves it running)
	$(RELEASE)/qoe-bench demo $(if $(KEEP),--keep)

lab: ## Policies compared in virtual time, on made-up workloads and public traces: writes docs/lab.md
	$(CARGO) build --release -p qoe-bench
	set -- --seeds 5 --markdown docs/lab.md $(LAB_ARGS); \
	for name in azure mooncake; do \
	  if trace=$$(tests/traces/fetch.sh $$name); then set -- "$$@" --$$name "$$trace"; \
	  else echo "the lab runs without the trace of $$name" >&2; fi; \
	done; \
	$(RELEASE)/qoe-bench lab "$$@"

replay: build ## How far the lab can be believed: the same load in virtual time, through the router, and through vllm-router
	$(RELEASE)/qoe-bench replay --check $(REPLAY_ARGS)

test: ## Unit, property, system and control-plane tests, against a real API server; no network once built
	$(CARGO) test --workspace

test-vllm: ## The same router before real vLLM servers on this CPU, with real KV transfer
	$(CARGO) build --release -p qoe-router
	QOE_ROUTER_BIN=$(RELEASE)/qoe-router tests/vllm/run.sh

test-cluster: ## Helm install on a real one-node cluster: first token, churn, upgrade, outage, rotation (root, Debian, Go)
	tests/cluster/run.sh

chart: ## Lint and render the chart and deploy/, against the schemas of Kubernetes 1.31 to 1.34
	tests/chart/run.sh

crds: ## Write crds/ and what is made of it anew
	$(CARGO) run --quiet -p qoe-controller -- crd >crds/qoeroutes.yaml
	cp crds/qoeroutes.yaml charts/qoe-router/files/qoeroutes.yaml
	PATH="$$(tests/kubernetes/install.sh cli):$$PATH" deploy/kustomize/render.sh

bench: build peers ## What routing costs, beside Envoy and vllm-router in one run
	$(RELEASE)/qoe-bench relay $(BENCH_ARGS)

bench-control: ## From a pod's change to the routers, against a real API server: 1,000 pods x 10 routers, 10,000 x 3
	$(CARGO) build --release -p qoe-controller -p qoe-router -p qoe-bench --features qoe-bench/control
	PATH="$$(tests/kubernetes/install.sh control-plane):$$PATH" $(RELEASE)/qoe-bench control $(BENCH_ARGS)

peers:
	tests/peers/install.sh

lint: deny ## Format, clippy, licences and forbidden dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	@tree=$$($(CARGO) tree -p qoe-router -e normal --prefix none) || exit 1; \
	if printf '%s\n' "$$tree" | grep -E '^kube'; then echo 'qoe-router must not depend on kube' >&2; exit 1; fi

deny: $(DENY)
	$(DENY) --log-level error check bans licenses sources

$(DENY):
	$(CARGO) install --quiet --locked --root $(CACHE)/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)

clean: ## Remove what was built here (the cache of large tools stays: $QOE_ROUTER_CACHE)
	$(CARGO) clean
