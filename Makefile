.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Bytecode is compiled once, at install: importing TensorFlow without it costs three times as much.
# A third of what is installed is cloud clients and test suites that nothing here imports.
COMPILE := compileall -q -j 2 -x '/(google/cloud|vertexai|agentplatform|tf_keras|tests)/' .venv/lib
BENCH_READY := .venv-bench/.ready
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: expected Python 3.11 or newer. Received: " + sys.version.split()[0] + ". Name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	-@$(BIN)/python -m $(COMPILE) >/dev/null
	@touch $@

$(BENCH_READY): $(READY) requirements/bench.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench
	$(BIN)/uv pip sync --quiet --python .venv-bench/bin/python --require-hashes --compile-bytecode requirements/bench.txt
	@touch $@

.PHONY: setup
setup: $(READY) ## Set up the environment in .venv

.PHONY: run
run: $(READY) ## Take the State of the Union addresses to a served model that generates text
	$(BIN)/loomline run text $(ARGS)

# A worker that dies ends the tests: without its file the others would wait for ever.
.PHONY: test
test: $(READY) ## Pass the tests; ARGS="-k name" for some of them
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --max-worker-restart=0 $(ARGS)

# A test whose part is missing is skipped with a message that names it.
# Go's programs among them, each with the module that holds it.
GO_fake-gcs-server := github.com/fsouza/fake-gcs-server@v1.56.1
GO_kube-score := github.com/zegl/kube-score/cmd/kube-score@v1.20.0
GO_kubeconform := github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0
GO_kustomize := sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
# Beam's portable runner, of the version of Beam in requirements/base.txt.
GO_prism := github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0
# An S3 server; 100 s of CPU to build.
GO_versitygw := github.com/versity/versitygw/cmd/versitygw@v1.8.0
GO_TOOLS := $(addprefix .tools/,fake-gcs-server kube-score kubeconform kustomize prism versitygw)
GRAFANA_SCHEMA := .tools/grafana-schema/dashboard.json
# Newer ones want a newer Node than Debian's.
GITLAB_CI_LOCAL := .tools/gitlab-ci-local/node_modules/.bin/gitlab-ci-local
.PHONY: test-tools
test-tools: $(READY) $(GO_TOOLS) $(GRAFANA_SCHEMA) $(GITLAB_CI_LOCAL) ## Install what some tests use: browser, databases, Prometheus, emulators, Kubernetes' tools, pictures
	@$(BIN)/python tests/serving/manifests/make_schemas.py .tools/schemas
	@command -v chromium >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core golang-go openssl postgresql >/dev/null; }
	@ls /usr/share/datasets/fashion-mnist /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf /usr/share/unicode/emoji >/dev/null 2>&1 || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends dataset-fashion-mnist fonts-noto-color-emoji unicode-data >/dev/null; }
	@type prometheus promtool amtool prometheus-alertmanager prometheus-pushgateway >/dev/null 2>&1 || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends prometheus prometheus-alertmanager prometheus-pushgateway >/dev/null; }

$(GO_TOOLS):
	@command -v go >/dev/null || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends golang-go >/dev/null; }
	GOBIN=$(CURDIR)/.tools go install $(GO_$(@F))

$(GRAFANA_SCHEMA): tests/manifests/monitoring/make_grafana_schema
	@command -v npm >/dev/null || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends nodejs npm >/dev/null; }
	$< $(@D)

.PHONY: test-apiserver
test-apiserver: test-tools ## Build Kubernetes' API server (ten minutes of CPU) and have it take the manifests and the workers' jobs
	$(BIN)/python tests/serving/manifests/make_apiserver.py .tools
	$(BIN)/python -m pytest tests/serving/manifests/test_apiserver.py tests/components/workers/test_apiserver.py $(ARGS)

$(GITLAB_CI_LOCAL):
	@command -v npm >/dev/null && command -v rsync >/dev/null || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends nodejs npm rsync >/dev/null; }
	npm install --silent --no-audit --no-fund --prefix .tools/gitlab-ci-local gitlab-ci-local@4.61.1

.PHONY: image
image: $(READY) ## Build the image of every step: for processors, or ARGS=gpu, tpu or tfx
	$(BIN)/python -m manifests.image.build $(ARGS)

# Its own engine, from Debian's packages, and a base image without a registry: root on Debian only.
.PHONY: test-image
test-image: $(READY) ## Build the images with an engine of their own and pass their tests
	@command -v debootstrap >/dev/null || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends debootstrap >/dev/null; } || true
	$(BIN)/python -m manifests.image.engine bash -c '$(BIN)/python -m manifests.image.build cpu && $(BIN)/python -m manifests.image.build tfx && $(BIN)/python -m pytest -m docker $(ARGS)'

.PHONY: lint
lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(READY) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: compile
compile: $(READY) ## Compile the pipeline to build/ for Kubeflow Pipelines
	$(BIN)/loomline compile text $(ARGS)

.PHONY: docs
docs: $(READY) ## Generate docs/reference.md and the golden pipeline of the tests
	$(BIN)/python -m pipelines.reference
	for config in text image table; do $(BIN)/loomline compile $$config --to tests/golden/$$config-quick.yaml; done

.PHONY: serve
serve: $(READY) ## Serve the last pushed model: playground, JSON API, gRPC
	$(BIN)/loomline serve text $(ARGS)

.PHONY: bench
bench: $(BENCH_READY) ## Run a benchmark: NAME=serve; without a name, the list
	@test -f "benchmarks/$(NAME).py" || { echo "error: expected NAME= one of: $$(grep -l '^def main' benchmarks/*.py | sed 's|benchmarks/||; s|[.]py||' | tr '\n' ' ')"; exit 2; }
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

# TFX asks for older versions than the others, so its lock follows no other.
LOCK_IMAGE := $(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --generate-hashes --python-version 3.13 --python-platform x86_64-manylinux_2_40
.PHONY: lock
lock: $(READY) ## Pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --upgrade --universal --no-emit-index-url --generate-hashes --python-version 3.11 --extra gateway --extra pipeline --extra s3 pyproject.toml --output-file requirements/base.txt
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --generate-hashes --python-version 3.11 --extra dev --constraint requirements/base.txt pyproject.toml --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --no-emit-index-url --generate-hashes --python-version 3.11 requirements/uv.in --output-file requirements/uv.txt
	$(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --generate-hashes --python-version 3.11 requirements/bench.in --output-file requirements/bench.txt
	$(LOCK_IMAGE) requirements/image-tools.in --output-file requirements/image-tools.txt
	for variant in cpu tpu; do $(LOCK_IMAGE) --constraint requirements/base.txt --override requirements/image-overrides.txt --extra gateway --extra pipeline --extra s3 pyproject.toml requirements/image-$$variant.in --output-file requirements/image-$$variant.txt; done
	$(LOCK_IMAGE) --constraint requirements/base.txt --extra gateway --extra pipeline --extra s3 pyproject.toml requirements/image-gpu.in --output-file requirements/image-gpu.txt
	$(LOCK_IMAGE) --override requirements/image-overrides.txt --extra gateway --extra pipeline --extra s3 pyproject.toml requirements/image-tfx.in --output-file requirements/image-tfx.txt
	for version in 2.19 2.20; do $(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --generate-hashes --python-version 3.11 requirements/tf-$$version.in --output-file requirements/tf-$$version.txt; done

.PHONY: clean
clean: ## Remove environments, caches and build output; runs/ stays
	rm -rf .venv .venv-bench .venv-tf-* .tools build .mypy_cache .pytest_cache .ruff_cache
