# Targets for people who change bridgehost. Each is a thin call, so that everything can also be run by hand.

GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BENCH ?= .
FUZZTIME ?= 20s

.PHONY: help build test lint demo bench fuzz generate deps clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

build: ## build bin/bridgehost
	CGO_ENABLED=0 go build -trimpath -o bin/bridgehost ./cmd/bridgehost

test: ## install what is missing, then run all checks and tests, with real servers on loopback
	@scripts/test

lint: ## run golangci-lint with .golangci.yml
	go run $(GOLANGCI_LINT) run ./...

demo: ## show a webhook's message in a chat room; ONCE=1 ends after one
	@ONCE=$(ONCE) scripts/demo

bench: ## run the benchmarks; BENCH is a pattern
	go test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 ./...

fuzz: ## run each fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

generate: ## generate Go code from proto/
	scripts/generate

deps: ## install what the tests need
	scripts/install-test-deps

clean: ## remove what was built
	rm -rf bin dist
