# A count, not a time: at the end of a time, Go before 1.27 may report a failure
# that is none (go.dev/issue/75804). For long runs: make fuzz FUZZTIME=10m
FUZZTIME ?= 20000x

# Of "make soak" and "make chaos": 0 is a seed by chance; the run tells it.
SEED ?= 0
DURATION ?= 10m

.PHONY: build run test test-contract test-docker test-duckdb race fuzz soak chaos realtime backfill lint bench microbench clean

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$$(git describe --always --dirty 2>/dev/null || echo unknown)" -o bin/tributary ./cmd/tributary

run: build
	./bin/tributary local

test:
	go vet ./...
	go test -race ./...

# A daemon of its own, as root; installs Debian's docker.io when dockerd is missing.
test-docker:
	cmd/internal/docker/install.sh
	TRIBUTARY_DOCKER_TEST=1 go test -count=1 -v -timeout 5m -parallel 8 ./cmd/internal/docker

# A module of its own: DuckDB needs cgo, and the product has none. Without the race
# detector: each test is one loop over 200,000 rows, and what it would look at runs
# under it in "make test".
test-duckdb:
	cd cmd/internal/duckdb && go vet ./... && go test -count=1 -timeout 20m ./...

# The same cases against deploy/local and against servers that others wrote, in pinned versions below .contract.
CONTRACT := $(CURDIR)/.contract
CONTRACT_NPM := kinesis-local@0.6.2 dynalite@4.0.0
VERSITYGW := v1.8.0
CONTRACT_INSTALLED := $(CONTRACT)/kinesis-local-0.6.2_dynalite-4.0.0 $(CONTRACT)/versitygw-$(VERSITYGW)

test-contract: $(CONTRACT_INSTALLED)
	TRIBUTARY_CONTRACT_SERVERS=$(CONTRACT) go test -count=1 -v -timeout 60m ./deploy/local/contract

$(CONTRACT)/kinesis-local-0.6.2_dynalite-4.0.0:
	@if ! command -v npm >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -q && apt-get install -y -q --no-install-recommends nodejs npm; fi
	@node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' && command -v npm >/dev/null || \
	  { echo "make test-contract needs node 20 or later, and npm: install them first" >&2; exit 1; }
	npm install --prefix $(CONTRACT) --no-audit --no-fund --no-save $(CONTRACT_NPM)
	@touch $@

$(CONTRACT)/versitygw-$(VERSITYGW):
	GOBIN=$(CONTRACT)/bin go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)
	@touch $@

race:
	go test -race -count=3 ./...

fuzz:
	@set -e; grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | while IFS=: read f t; do \
	  go test -run '^$$' -fuzz "^$${t#func }\$$" -fuzztime $(FUZZTIME) $$(dirname $$f); done

soak:
	go test -race -count=1 -timeout 0 -v -run 'TestKilledStoppedSplitAndTroubledEachAckedLineIsOneRow|TestEachLineBecomesOneRow' ./cmd/internal/e2e -e2e.seed=$(SEED) -e2e.duration=$(DURATION) -e2e.lines=100000

# Workers killed every few seconds while shards split and merge, throttled as the
# service does, and how long shards wait after each; and killed and stopped at each
# call of a flush, with the race detector in the workers.
chaos: DURATION = 2m
chaos:
	go test -race -count=1 -timeout 0 -v -run 'TestWorkersDieWhileShardsSplitAndMergeAndEachLineIsOneRowInItsOrder|TestImportersDie|AtEachStep|WhatRetentionTook|TestManyPending' ./cmd/internal/e2e -e2e.seed=$(SEED) -e2e.duration=$(DURATION) -e2e.rate=1500

# Workers of CloudWatch Logs lost every ten seconds over a million lines, once with log
# events that are read at once and once with two seconds until they can be.
realtime:
	go test -count=1 -timeout 0 -v -run TestWorkersDieAndEachChosenLineIsInItsLogGroup ./cmd/internal/e2e -e2e.seed=$(SEED) -e2e.duration=200s -e2e.rate=16000

# 100,000 gzip objects, 10 GB of lines, imported into Treasure Data in at most 256 MiB,
# killed three times on the way; each line counted. It takes some minutes and 20 GB.
#   make backfill OBJECTS=5000        a twentieth, as CI does
OBJECTS ?= 100000
backfill:
	go test -count=1 -timeout 0 -v -run TestABackfillKilled ./cmd/internal/e2e -e2e.backfill-objects=$(OBJECTS)

lint:
	test -z "$$(gofmt -l .)"
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	cd cmd/internal/duckdb && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# What the product takes, stage by stage: a table here, the figures in bench.json
# (which a quick one leaves as it is).
#   make bench BENCH=quick            in less than three minutes, to see that it works
#   make bench COMPARE=old.json       and how the ratios have changed since
#   make bench BENCHFLAGS='-sizes 500 -parts stages -profile bin/profiles'
bench:
	CGO_ENABLED=0 go run -trimpath ./cmd/internal/bench $(if $(filter quick,$(BENCH)),-quick,-o bench.json) \
	  $(if $(COMPARE),-compare $(COMPARE)) $(BENCHFLAGS)

# Encoders, decoders and other parts one by one.
microbench:
	go test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin data
