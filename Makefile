# The commands of this project. `make` alone lists them.
#
# Nothing is installed into the system but the Debian packages named below. Whatever else is fetched lies in the user's
# cache folder, shared by all clones, so that a second run needs no network.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bedside
# Named by the pins, so that clones with different pins do not take turns in replacing each other's tools.
tools := $(cache)/tools-$(shell sha256sum .ci/tools.txt | cut -c1-12)
training := $(cache)/training-venv
# What the README's clients need; named by its pins, as the tools are.
clients := $(cache)/clients-$(shell cat tests/readme/requirements.txt tests/readme/package-lock.json | sha256sum | cut -c1-12)

# ONNX Runtime, out of its wheel; named by its pin. A library that is named from outside is kept.
onnxruntime := $(cache)/onnxruntime-$(shell sha256sum deploy/onnxruntime/requirements.txt | cut -c1-12)
ONNXRUNTIME_LIB ?= $(onnxruntime)/libonnxruntime.so
export ONNXRUNTIME_LIB

# Opens every recipe that builds: cargo must run in the shell that got the exports. In two steps, because
# `eval "$(...)"` by itself would go on after a failed fetch.
with_libtorch = exports=$$(python3 deploy/libtorch/fetch.py); eval "$$exports";

# Installs the Debian packages that $missing names; touches no network when it is empty. To stderr: `env` is evaluated.
install_missing = \
	if [ -z "$$missing" ]; then exit; fi; \
	as_root=; if [ "$$(id -u)" != 0 ]; then as_root=sudo; fi; \
	if ! command -v apt-get >/dev/null || ! command -v $${as_root:-apt-get} >/dev/null; then \
		echo "missing:$$missing (Debian's names). Please install with your system's package manager." >&2; exit 1; \
	fi; \
	echo "installing$$missing" >&2; \
	{ $$as_root apt-get update -qq; \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$missing; } >&2 </dev/null

# The build without libtorch. Cargo has one place for the program, whatever it contains, so this one is put aside.
onnx_build = cargo build --locked $(if $(filter release,$(1)),--release) --no-default-features --features onnx; \
	install -D 'target/$(1)/bedside' 'target/onnx/$(1)/bedside'

.PHONY: help
help: ## List the commands
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

.PHONY: run
run: build-packages $(ONNXRUNTIME_LIB) ## Start the service, triage sample tickets, keep serving until Ctrl-C (ONCE=1: stop afterwards)
	@$(with_libtorch) cargo run --locked -- demo --tickets tests/data/tickets.jsonl $(if $(filter 1,$(ONCE)),--once)

.PHONY: test
test: lint $(clients)/complete $(ONNXRUNTIME_LIB) ## Everything CI checks: the lints, then all tests
	@echo "== tests"; python3 deploy/libtorch/test_fetch.py
	@$(call onnx_build,debug)
	@$(with_libtorch) README_CLIENTS='$(clients)' ONNX_BINARY='$(CURDIR)/target/onnx/debug/bedside' cargo test --locked --no-fail-fast
	@# A report: where valgrind cannot run, the tests above have passed all the same.
	@$(MAKE) --no-print-directory instructions || echo "the instructions could not be counted" >&2

.PHONY: instructions
instructions: bench-packages $(ONNXRUNTIME_LIB) ## Count the instructions of each step outside the model, beside the baseline [WRITE=1: renew that]
	@echo "== instructions"; $(with_libtorch) cargo bench --locked --quiet --profile dev --bench hot_path --no-run
	@$(with_libtorch) python3 benches/instructions.py \
		"$$(ls -t target/debug/deps/hot_path-* | grep -v '\.d$$' | head -1)" $(if $(filter 1,$(WRITE)),--write)

.PHONY: bench
bench: bench-packages $(ONNXRUNTIME_LIB) ## Measure engines, service and peers: target/bench/report.md [ARGS="--only load --seconds 5"]
	@$(call onnx_build,release)
	@$(with_libtorch) ONNX_BINARY='$(CURDIR)/target/onnx/release/bedside' cargo bench --locked --bench service -- $(ARGS)
	@$(with_libtorch) cargo bench --locked --bench hot_path

.PHONY: build
build: build-packages ## Build the service
	@$(with_libtorch) cargo build --locked

.PHONY: lint
lint: build-packages test-packages $(tools) ## Formatting, contract, dependencies, clippy
	@echo "== formatting"; cargo fmt --check
	@echo "== contract"; $(tools)/bin/buf lint; $(tools)/bin/buf format --diff --exit-code
	@echo "== dependencies"; $(tools)/bin/cargo-deny --locked check --hide-inclusion-graph licenses bans sources
	@echo "== clippy"; $(with_libtorch) cargo clippy --all-targets --locked -- -D warnings

.PHONY: fmt
fmt: $(tools) ## Format the code and the contract
	@cargo fmt; $(tools)/bin/buf format --write

# Apart from `lint`: it fetches the advisory database, and a new advisory must not fail an unrelated change.
.PHONY: advisories
advisories: $(tools) ## Check dependencies against the RustSec database (network)
	@$(tools)/bin/cargo-deny --locked check advisories

AGAINST ?= .git\#branch=main
.PHONY: breaking
breaking: $(tools) ## Compare the contract with AGAINST (default: branch main)
	@$(tools)/bin/buf breaking --against '$(AGAINST)'

OUT ?= models/bedside-minilm
RUN ?= $(cache)/training-run
train := $(training)/bin/python models/training
# A bundle's figures on one set, by the serving path: $(call evaluate,BUNDLE,NAME,WHAT,ENGINE).
evaluate = target/debug/bedside evaluate --bundle "$(1)" --engine $(or $(4),rust-bert) --precision $(if $(filter onnx,$(4)),auto,f32) \
	--format json $(3) >"$(RUN)/$(2).json"
# All sets with one engine: $(call evaluate_all,SUFFIX,ENGINE).
define evaluate_all
	@$(call evaluate,$(OUT),authored$(1),--data models/data/tickets/*.jsonl --split models/data/split.json --part test,$(2))
	@$(call evaluate,$(OUT),criticals$(1),--data models/data/criticals/*.jsonl,$(2))
	@$(call evaluate,$(OUT),real$(1),--data '$(RUN)/real.jsonl' --split models/data/split.json --set real --part test,$(2))
	@$(call evaluate,$(OUT),goemotions$(1),--goemotions '$(PUBLIC)/goemotions/test.tsv',$(2))
endef

.PHONY: model
model: model-data $(training)/.installed build $(ONNXRUNTIME_LIB) ## Train, calibrate and measure the model: PUBLIC=public data [RUN=checkpoints] [OUT=bundle]
	@$(train)/train.py --public '$(PUBLIC)' --out '$(RUN)'
	@$(train)/bundle.py --public '$(PUBLIC)' --checkpoint '$(RUN)/joint' --out '$(OUT)'
	@$(train)/real_texts.py --public '$(PUBLIC)' --out '$(RUN)/real.jsonl'
	$(call evaluate_all,,rust-bert)
	$(call evaluate_all,-int8,onnx)
	@$(train)/report.py --run '$(RUN)' --out $(if $(filter models/bedside-minilm,$(OUT)),models/report,'$(RUN)/report') \
		--evaluation authored='$(RUN)/authored.json' criticals='$(RUN)/criticals.json' real='$(RUN)/real.json'
	@rm -f '$(RUN)'/unseen-*.json; $(train)/baselines.py --public '$(PUBLIC)' | tee '$(RUN)/baselines.txt'
	@$(train)/card.py --run '$(RUN)' --card models/training/card.md --out '$(OUT)/MODEL_CARD.md'

# Each source of real texts read by a model that never saw it, from the same second stage.
.PHONY: unseen
unseen: model-data $(training)/.installed build ## Train without each source of real texts in turn and measure on it: PUBLIC=, RUN= of a model
	@test -s '$(RUN)/baselines.txt' || { echo "make the model first, with the same RUN" >&2; exit 1; }
	@for source in cfpb banking77 mozilla_support_forum multidogo github_incivility; do \
		$(train)/train.py --public '$(PUBLIC)' --out '$(RUN)' --without $$source; \
		$(train)/bundle.py --public '$(PUBLIC)' --checkpoint "$(RUN)/real-without-$$source" --without $$source --out "$(RUN)/bundle-$$source"; \
		$(train)/real_texts.py --public '$(PUBLIC)' --source $$source --out "$(RUN)/$$source.jsonl"; \
		$(call evaluate,$(RUN)/bundle-$$source,unseen-$$source,--data "$(RUN)/$$source.jsonl"); \
	done
	@$(train)/card.py --run '$(RUN)' --card models/training/card.md --out '$(OUT)/MODEL_CARD.md'

.PHONY: env
env: build-packages $(ONNXRUNTIME_LIB) ## Print what a shell needs to run cargo by itself: eval "$(make -s env)"
	@python3 deploy/libtorch/fetch.py; printf 'export ONNXRUNTIME_LIB=%q\n' '$(ONNXRUNTIME_LIB)'

.PHONY: setup
setup: build-packages test-packages $(tools) $(clients)/complete $(ONNXRUNTIME_LIB) ## Install and fetch everything `run` and `test` need, build nothing
	@$(with_libtorch) cargo fetch --locked

.PHONY: clean
clean: ## Remove what was built; the cache folder stays
	@cargo clean

# Any Python may fetch the wheel built for 3.11: it is only unpacked. To stderr: `env` is evaluated.
$(onnxruntime)/libonnxruntime.so: | build-packages
	@echo 'fetching ONNX Runtime' >&2; rm -rf '$(@D).part'; mkdir -p '$(@D).part'
	@python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps --no-cache-dir --only-binary=:all: \
		--implementation=cp --python-version=3.11 --abi=cp311 --platform=manylinux_2_28_$$(uname -m) \
		--require-hashes --requirement=deploy/onnxruntime/requirements.txt --dest='$(@D).part' >&2 </dev/null
	@cd '$(@D).part'; python3 -m zipfile -e ./*.whl wheel; mv wheel/onnxruntime/capi/libonnxruntime.so.* libonnxruntime.so
	@cd '$(@D).part'; mv wheel/onnxruntime/LICENSE wheel/onnxruntime/ThirdPartyNotices.txt .; rm -r wheel ./*.whl
	@rm -rf '$(@D)'; mv '$(@D).part' '$(@D)'

.PHONY: build-packages
build-packages:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with rustup" >&2; exit 1; }
	@missing=; \
	command -v g++ >/dev/null || missing+=" g++"; \
	python3 -m pip --version >/dev/null 2>&1 || missing+=" python3-pip"; \
	$(install_missing)

.PHONY: test-packages
test-packages:
	@missing=; \
	command -v redis-server >/dev/null || missing+=" redis-server"; \
	python3 -c 'import ensurepip' 2>/dev/null || missing+=" python3-venv"; \
	command -v node >/dev/null || missing+=" nodejs"; \
	command -v npm >/dev/null || missing+=" npm"; \
	$(install_missing)

.PHONY: bench-packages
bench-packages: build-packages
	@missing=; \
	command -v valgrind >/dev/null || missing+=" valgrind"; \
	command -v taskset >/dev/null || missing+=" util-linux"; \
	python3 -c 'import ensurepip' 2>/dev/null || missing+=" python3-venv"; \
	$(install_missing)

.PHONY: model-data
model-data:
	@if [ -z '$(PUBLIC)' ]; then echo "say where the public data sets are: PUBLIC=..." >&2; exit 1; fi

# Beside its final place first, so that an interrupted install is never taken for a finished one.
$(tools): | build-packages
	@rm -rf '$@.incomplete'
	@python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
		--root-user-action=ignore --target '$@.incomplete' --requirement .ci/tools.txt
	@mv '$@.incomplete' '$@'

$(clients)/complete: | build-packages test-packages
	@bash tests/readme/install.sh '$(clients)'

$(training)/.installed: models/training/requirements.txt
	@missing=; python3 -c 'import ensurepip' 2>/dev/null || missing+=" python3-venv"; $(install_missing)
	@python3 -m venv '$(training)'
	@'$(training)/bin/pip' install --disable-pip-version-check --requirement $<
	@touch '$@'
