# Each command prepares what it needs in .venv. ARGS goes to pytest: make test ARGS="tests/unit -x"
# PYTHON chooses the interpreter for .venv: PYTHON=python3.12 make demo

.PHONY: demo demo-kube test test-cluster check fix bench bench-xds bench-peers churn soak clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo    watch rules take effect on live connections through a real Envoy (a minute)"
	@echo "make demo-kube   the same with a real Kubernetes API server (builds it once: 10 minutes)"
	@echo "make test    run all tests; make test ARGS=\"tests/unit -x\" for some"
	@echo "make test-cluster   the tests with a real Kubernetes API server (builds it once: 10 minutes)"
	@echo "make check   formatting, lint, import rules, mypy, pyright, generated code"
	@echo "make fix     format, and repair what the linter can"
	@echo "make bench   run the benchmarks"
	@echo "make bench-xds   measure the xDS server and its peers, write docs/performance.md (10 minutes)"
	@echo "make bench-peers   compare with go-control-plane alone; needs Go"
	@echo "make churn   five Envoys under a thousand changes each way (half an hour); ARGS for a part"
	@echo "make soak    6,000 proxies that come and go, and what the server keeps of them (some minutes)"
	@echo "make clean   remove .venv and caches"

demo: .venv/demo.stamp
	@.venv/bin/meltemi demo

demo-kube: .venv/demo.stamp
	@.venv/bin/python -m tests.cluster.binaries servers
	@.venv/bin/meltemi demo --kube --local

test: .venv/dev.stamp
	@scripts/test $(ARGS)

test-cluster: .venv/dev.stamp
	@scripts/test-cluster $(ARGS)

check: .venv/dev.stamp
	@scripts/check

fix: .venv/dev.stamp
	@scripts/fix

bench: .venv/dev.stamp
	@scripts/bench

bench-xds: .venv/dev.stamp
	@.venv/bin/python -m benchmarks.xds --write $(ARGS)

bench-peers: .venv/dev.stamp
	@.venv/bin/python -m benchmarks.xds --require-peers --only fan-out --only groups $(ARGS)

churn: .venv/dev.stamp
	@.venv/bin/python -m tests.churn $(ARGS)

soak: .venv/dev.stamp
	@.venv/bin/python -m tests.soak $(ARGS)

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

.venv/%.stamp: pyproject.toml scripts/setup
	@scripts/setup $*
