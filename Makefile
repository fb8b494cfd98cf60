# The two commands of a newcomer, on Debian 12 or 13 with Go: make demo, make test.
# Each does all the set-up that it needs, once.

# Debian packages that building, testing and the demo need. Add to it with +=.
PACKAGES := gcc g++ libc6-dev valgrind heaptrack zstd
ifndef LIBTORCH # an unpacked official archive: see model/torch/fit
PACKAGES += libtorch-dev libopenblas0-pthread
endif
# One test reads a run with npm's apache-arrow; the demo runs programs of Debian.
test: PACKAGES += $(if $(shell command -v node),,nodejs npm)
demo: PACKAGES += sqlite3 libxml2-utils lua5.4 bc

FUZZTIME ?= 60s
BENCH ?= .
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What make kernel-lab needs beside them, where it keeps the kernel, and where
# the labelled logs go.
KERNEL_PACKAGES := linux-source-6.1 gcc libc6-dev make flex bison bc xz-utils
KERNEL := .kernel
KERNEL_RUNS ?= $(KERNEL)/runs

# Where make corpus-full puts its 970 MB.
CORPUS_FULL ?= corpus-full

.PHONY: build setup packages fit test lint bench bench-peers fuzz demo kernel-lab corpus corpus-full train-default eval-default robustness clean

build: setup
	@mkdir -p bin
	@go build -o bin/leakformer ./cmd/leakformer

setup: packages fit

# Installs what is missing, and says so; nothing is said when nothing is.
packages:
	@command -v go >/dev/null || { echo "make: Go is not installed: see https://go.dev/dl" >&2; exit 1; }
	@command -v dpkg-query >/dev/null || exit 0; \
	missing=$$(for p in $(PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}\n' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "make: Debian packages are missing. As root:" >&2; \
		echo "  apt-get install --no-install-recommends" $$missing >&2; exit 1; \
	fi; \
	echo "installing" $$missing "..."; \
	log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get update -q && apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 $$missing; } \
		>$$log 2>&1 </dev/null || { cat $$log >&2; exit 1; }

# Makes gotch compile with the libtorch of this machine. The compiled gotch stays
# in Go's build cache.
fit:
	@GOWORK=off go run ./model/torch/fit

test: setup
	go test ./...

lint: setup
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); \
	[ -z "$$unformatted" ] || { echo "not formatted by gofmt:" $$unformatted >&2; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

# What was measured before is in BENCH_LOG, for benchstat.
BENCH_LOG ?= eval/bench.txt
bench: setup
	@echo "commit: $$(git describe --always --dirty) of $$(git show -s --format=%cs)" >> $(BENCH_LOG)
	@status=$$(mktemp); { go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m ./...; echo $$? >$$status; } | \
		tee -a $(BENCH_LOG); exit $$(cat $$status)

# The program beside PyTorch, which uses the same libtorch and BLAS here, scikit-learn and
# heaptrack's programs, in one table: eval/SPEED.json, and README.md from it. In eight
# minutes; SPEED=-long, twelve, has logs of 100 M events read, too, and all built from nothing,
# SPEED='-only start' one part measured. The matrix library chooses its kernels by the
# processor, whatever the shell says. PEER_PYTHON is another Python that has both.
PEER_PYTHON ?= /usr/bin/python3
bench-peers: PACKAGES += perl util-linux $(if $(filter /usr/bin/python3,$(PEER_PYTHON)),python3-torch python3-sklearn)
bench-peers: build
	@go build -o bin/speed ./cmd/leakformer/internal/speed
	@env -u OPENBLAS_CORETYPE bin/speed -program bin/leakformer -python $(PEER_PYTHON) $(SPEED)

# Runs each fuzz test there is for FUZZTIME.
fuzz: setup
	@git ls-files '*_test.go' | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | while IFS=: read -r file name; do \
		name=$${name#func }; echo "== $$name in $$(dirname $$file)"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$(dirname $$file) </dev/null || exit 1; done

# The whole chain on real programs of this machine, in demo-out: see datasets/demo.sh.
demo: build
	@./datasets/demo.sh

# Labelled logs of kmemleak, in $(KERNEL_RUNS): see datasets/README.md. The first
# call builds a User Mode Linux kernel, on Debian 12: 5 minutes of one core's time
# and 700 MB in $(KERNEL), and 140 MB for the package of its source. After that a
# collection of 40 runs takes about a minute and 1 MB.
kernel-lab:
	@$(MAKE) --no-print-directory packages PACKAGES='$(KERNEL_PACKAGES)'
	@datasets/kernel/build.sh $(KERNEL)
	@go run ./datasets/kernel/lab -kernel $(KERNEL) -o $(KERNEL_RUNS)

# The compact corpus that is in the repository, anew: the programs that it has. See
# datasets/README.md.
CORPUS := $(notdir $(patsubst %/labels.json,%,$(wildcard datasets/corpus/*/labels.json)))
corpus: build
	bin/leakformer dataset collect -o datasets/corpus --jobs 2 --arrow --events 5000 --clean 2 --leaky 2 $(CORPUS)
	for tool in memcheck memcheck-xml; do bin/leakformer dataset collect -o datasets/corpus/$$tool --jobs 2 --tool $$tool \
		--clean 1 --leaky 2 lua curl demo bug-list-node bug-exception-path bug-unbounded-map twin-arena || exit 1; done

# All programs with their whole workloads, as the tools write their logs.
corpus-full: build
	bin/leakformer dataset collect -o $(CORPUS_FULL) --jobs 2

# The model that the program brings along, anew, from the full corpus: a quarter of an
# hour to collect it and as long to train and measure. The programs held out are for
# eval/LOG.md: no model that comes along has learned from them.
HELD_OUT := redis nginx haproxy mosquitto php-web git-import gs qpdf cmake rsvg-convert doxygen zsh
FRESH := unbound tinyproxy rsyslogd ngircd ledger nasm mandoc lynx re2c swipl
# Executables of git-import and php-web: a model that learned from these knows those.
KIN := git php
# Collected after that model was made: one that learns from these too is no better
# (eval/LOG.md, 19).
LATER := gperf byacc ragel flatc thrift sassc tcc ivl ctags cppcheck astyle msgmerge bmake cmark discount links unrtf mutool aspell \
	potrace recsel remind ngspice xorriso bsdtar mujs duk fish mksh original-awk busybox-awk yacas privoxy webfsd wget
train-default: build
	[ -e $(CORPUS_FULL)/manifest.json ] || $(MAKE) --no-print-directory corpus-full
	bin/leakformer train --init none --without-histories --steps 2600 --seed 1 -o $(CORPUS_FULL)/default.lfm \
		$$(for l in $(CORPUS_FULL)/*/labels.json; do p=$$(basename $$(dirname $$l)); \
		case " $(HELD_OUT) $(FRESH) $(KIN) $(LATER) memcheck memcheck-xml " in *" $$p "*) ;; *) case $$p in growth-*) ;; *) echo --labels $$l;; esac;; esac; done)
	cp $(CORPUS_FULL)/default.lfm model/default.lfm
	go build -o bin/leakformer ./cmd/leakformer

# How good it is on the programs held out, and on the fresh ones: with clean runs of
# them, and without. With CORPUS_FULL=datasets/corpus, on those of them that the
# repository has runs of.
eval-default: build
	@for group in "$(HELD_OUT)" "$(FRESH)"; do labels=""; clean=""; leaky=""; \
	for p in $$group; do d=$(CORPUS_FULL)/$$p; [ -e $$d/labels.json ] || continue; labels="$$labels --labels $$d/labels.json"; \
		clean="$$clean $$(ls $$d/*.clean.*)"; leaky="$$leaky $$(ls $$d/*.leaky.*)"; done; \
	[ -n "$$leaky" ] || continue; \
	bin/leakformer eval $$labels --cut 0.3 --cut 0.6 --cut 0.9 --blind $$(printf ' --reference %s' $$clean) $$leaky; done

# Do verdicts hold when the same programs are logged in other ways? The table goes into
# model/default.md: see datasets/robustness.sh. Of programs that the model does not know.
ROBUST := nginx mosquitto haproxy gs qpdf cmake zsh nasm mandoc re2c lynx ledger
ROBUST_RUNS ?= robustness-runs
robustness: PACKAGES += libjemalloc2
robustness: build
	@./datasets/robustness.sh $(ROBUST_RUNS) $(ROBUST)

clean:
	rm -rf bin demo-out .gotch go.work go.work.sum
