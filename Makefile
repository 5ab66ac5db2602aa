FUZZTIME ?= 10s

.PHONY: build run test race fuzz lint bench clean

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$$(git describe --always --dirty 2>/dev/null || echo unknown)" -o bin/tributary ./cmd/tributary

run: build
	./bin/tributary local

test:
	go vet ./...
	go test -race ./...

race: test

fuzz:
	@set -e; for f in $$(grep -rhoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | cut -c6- | sort -u); do \
	  p=$$(dirname $$(grep -rlE "^func $$f\(" --include='*_test.go' . | head -1)); \
	  go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done

lint:
	test -z "$$(gofmt -l .)"
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

bench:
	go test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin data
