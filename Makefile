# A count, not a time: at the end of a time, Go before 1.27 may report a failure
# that is none (go.dev/issue/75804). For long runs: make fuzz FUZZTIME=10m
FUZZTIME ?= 20000x

.PHONY: build run test race fuzz lint bench clean

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$$(git describe --always --dirty 2>/dev/null || echo unknown)" -o bin/tributary ./cmd/tributary

run: build
	./bin/tributary local

test:
	go vet ./...
	go test -race ./...

race:
	go test -race -count=3 ./...

fuzz:
	@set -e; grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | while IFS=: read f t; do \
	  go test -run '^$$' -fuzz "^$${t#func }\$$" -fuzztime $(FUZZTIME) $$(dirname $$f); done

lint:
	test -z "$$(gofmt -l .)"
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

bench:
	go test -run '^$$' -bench . -benchmem ./...
	go test -count=1 -v -run TestEachLineBecomesOneRow ./cmd/internal/e2e

clean:
	rm -rf bin data
