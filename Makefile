# Every target first makes the environment, .venv, from requirements.lock: once, and again when the lock changes.
#
#   make demo                        a small study, from nothing to reports/demo.html
#   make study CONFIG=my.yaml        a study of one's own; CORES=4 to leave some cores free
#   make report CONFIG=my.yaml       its report alone; while the study runs, of what is there
#   make verify                      holds results/default against the published reference run
#   make test | lint | bench
#   make quick                       the tests that are neither slow nor need a browser: 70 s on two older cores
#   make coverage                    the same, with the branches of the code that they leave out: two or three minutes
#   make faults                      kills, full disks, damaged files: half an hour; FAULTS='--seed 7' does it again
#   make test-slurm                 the study on a real SLURM, which is started for it; SLURM=--faults for what goes wrong there
#   make test-store                  the study with its results in S3, which is started for it, and with pods that are processes
#   make fuzz                        configs, claims and files of data made wrong at random: an hour; FUZZ='--minutes 5'
#   make scale                       what the workflow makes of 10,000 runs and 100 activations, without training
#   make performance                 measures the trainer in every respect, for docs/performance.md
#   make gpu                         what a GPU does with it: tests, figures, the demo; eight minutes at most
#   make lock                        the lock anew, with the newest versions that pyproject.toml allows

CONFIG ?= config.yaml
CORES ?= all
PYTHON ?= python3
# Make would expand what a caller writes into these, and the shell would run it: they reach recipes through the
# environment alone, as they were written.
override CONFIG := $(value CONFIG)
override CORES := $(value CORES)
override PYTHON := $(value PYTHON)
override FAULTS := $(value FAULTS)
override FUZZ := $(value FUZZ)
override SLURM := $(value SLURM)
export CONFIG CORES PYTHON FAULTS FUZZ SLURM

# Its scripts name their Python by its whole path, in which they cannot quote everything: `python -m` needs none.
BIN := .venv/bin
LOCKED := .venv/requirements.lock
# Our own reader comes first: Snakemake's would follow aliases without end.
SNAKEMAKE := $(BIN)/python -m activation_study check -- "$$CONFIG" && $(BIN)/python -m snakemake --configfile="$$CONFIG" --cores="$$CORES"

# Snakemake's own jobs find the environment's Python.
export PATH := $(CURDIR)/$(BIN):$(value PATH)

.PHONY: env config demo study report verify test test-slurm test-store quick coverage lint faults fuzz bench gpu performance scale lock browser

study: config env
	@$(SNAKEMAKE)

demo: override CONFIG := config/demo.yaml
demo: study

# While a call works on the study, a page of what is there; else the rule of this name: its file is named by the config, once that has been checked.
report: config env
	@code=0; $(BIN)/python -m activation_study.jobs.so_far "$$CONFIG" || code=$$?; \
	case $$code in 0) $(SNAKEMAKE) report;; 75) ;; *) exit $$code;; esac

verify: env
	$(BIN)/python -m activation_study verify

# A file's tests stay in one process, as they share what is costly to make; a process takes up to 2 GB. Without bytecode,
# which many containers forbid, each process would compile the tests anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

# The quick ones first, with the branches of the code that they miss; each test runs once.
test: coverage browser
	$(PYTEST) -m "slow or browser"

# With Debian's packages slurm-wlm and munge; the daemons listen on loopback alone, and end with the test.
test-slurm: env
	set -f; $(BIN)/python tests/cluster/run.py $$SLURM

# What it needs is installed for it alone: boto3 would give everybody an older dateutil.
test-store: env
	@store=$$(mktemp -d) && trap 'rm -rf "$$store"' EXIT && \
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target "$$store" -r tests/cluster/store.lock && \
	PYTHONPATH="$$store" $(BIN)/python tests/cluster/store.py

quick: env
	$(PYTEST) -q -m "not slow and not browser"

coverage: env
	$(PYTEST) -q -m "not slow and not browser" --cov --cov-report=term

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m mypy
	$(BIN)/python -m snakemake --lint

faults: env
	set -f; $(BIN)/python tests/faults/run.py $$FAULTS

fuzz: env
	set -f; $(BIN)/python tests/fuzz/fuzz.py $$FUZZ

bench: env
	$(BIN)/python benchmarks/run.py

# On a machine that has PyTorch for its GPU already: beside that, not in .venv.
gpu:
	@"$$PYTHON" .ci/gpu.py

# Half an hour, on a machine that does nothing else.
performance: bench
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/step_profile.py
	$(BIN)/python benchmarks/probe_samples.py
	$(BIN)/python benchmarks/pruning.py
	$(BIN)/python benchmarks/rounding.py
	$(BIN)/python benchmarks/document.py

# Six minutes on two Zen 4 cores; it writes no results but into a temporary folder.
scale: env
	PYTHONPATH="$$PWD/tests/support" $(BIN)/python benchmarks/scale.py

# Snakemake's own answers to a file that is not there, and to a folder that cannot be written, are tracebacks.
config:
	@[ -f "$$CONFIG" ] && [ -r "$$CONFIG" ] || \
	{ printf 'error: CONFIG: %s cannot be read; name a config, as in make study CONFIG=config.yaml\n' "$$CONFIG" >&2; \
	    exit 1; }
	@[ -w . ] || \
	{ here=$$(printf %s "$$PWD" | sed "s/'/'\\\\''/g"); \
	    [ -x $(BIN)/snakemake ] && snakemake="'$$here/$(BIN)/snakemake'" || snakemake=snakemake; \
	    printf 'error: %s: cannot be written; in a folder of your own, with your config in it, run %s\n' "$$PWD" \
	        "$$snakemake -s '$$here/Snakefile' --configfile my.yaml --cores all" >&2; exit 1; }

env: $(LOCKED)

# The copy of the lock is written last, so that an interrupted installation starts afresh; a lock with a new date
# but the same text changes nothing. Bytecode is made by all cores at once, and in any case: many containers set
# PYTHONDONTWRITEBYTECODE, and every job would compile PyTorch's Python anew, which takes twice as long as to import it.
#
# On Linux, PyPI's torch is the CUDA build, about 3 GB to download, and runs without a GPU. For the small CPU build,
# install that first; `make` then keeps it. These two wheels alone have no hash in the lock: pip holds them against the
# SHA-256 in PyTorch's own index.
#
#   python3 -m venv .venv
#   .venv/bin/pip install --no-deps --only-binary :all: --index-url https://download.pytorch.org/whl/cpu \
#       $(grep -oE '^torch(vision)?==[0-9.]+' requirements.lock)
#   awk '/^[a-z]/ {keep = !/^(cuda|nvidia|triton)/} keep' requirements.lock > cpu.lock
#   .venv/bin/pip install --require-hashes -r cpu.lock
#   .venv/bin/pip install --no-deps --no-build-isolation -e . && cp requirements.lock .venv/
$(LOCKED): requirements.lock
	@if cmp -s $< $@; then touch $@; exit; fi; \
	"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: name it, as in make PYTHON=python3.12"; exit 1; }; \
	"$$PYTHON" -c 'import ensurepip' 2>/dev/null || \
	    { echo "Python's venv module is missing: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }; \
	echo "Making .venv from requirements.lock: minutes, and about 3 GB of downloads on Linux, once"; \
	rm -rf .venv && "$$PYTHON" -m venv .venv && \
	$(BIN)/python -m pip install --no-compile --require-hashes -r requirements.lock && \
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e . && \
	{ $(BIN)/python -m compileall -qq -j 0 .venv/lib src || true; } && \
	cp $< $@

# The browser tests need a Chromium; Debian's is installed where that can be done without asking.
browser:
	@command -v chromium >/dev/null || \
	{ [ -e /etc/debian_version ] && [ "$$(id -u)" = 0 ] && \
	    apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } || \
	echo "No chromium on the PATH: the browser tests are skipped (Debian: apt-get install chromium)"

# Hashes for every platform and Python, from PyPI itself whatever index this machine prefers; environment.yml follows.
lock: env
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --fork-strategy fewest --generate-hashes \
	    --no-config --default-index https://pypi.org/simple --no-emit-index-url \
	    --custom-compile-command "make lock" --upgrade --quiet --output-file requirements.lock
	$(BIN)/python .ci/environment.py
	grep -oE '^[a-z0-9-]+==[^ ]+' requirements.lock | grep -v ^python-dateutil > .venv/held.txt
	$(BIN)/uv pip compile tests/cluster/store.in --universal --fork-strategy fewest --generate-hashes --constraint .venv/held.txt \
	    $$(sed 's/==.*//; s/^/--no-emit-package /' .venv/held.txt) --no-config --default-index https://pypi.org/simple \
	    --no-emit-index-url --custom-compile-command "make lock" --upgrade --quiet --output-file tests/cluster/store.lock
