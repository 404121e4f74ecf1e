# Every way to build, run and prove Millrace. `make` lists them. Needs Go and nothing else; the tests need PostgreSQL's
# programs and Chromium too, and get them where they can.
GO      ?= go
BIN     := bin/millrace
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
# At most two packages at once: several of them start servers of their own.
JOBS    ?= 2
# What make vuln runs, and the database that it asks.
GOVULNCHECK ?= golang.org/x/vuln/cmd/govulncheck@v1.6.0
VULNDB      ?= https://vuln.go.dev
# What make bench measures (millrace bench --help lists them), and how often.
SCENARIO ?= all
ROUNDS   ?= 3
# Of how many people make exports makes exports.
EXPORT_PEOPLE ?= 1000000
# How long make fuzz tries each reader, and which of them.
FUZZTIME ?= 60s
FUZZ     ?= .

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/millrace
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/millrace

demo: build ## run the whole system on embedded parts, with a producer (Ctrl-C ends it)
	$(BIN) demo

test: lint build postgres chromium ## everything that must hold: format, vet, unit, property, crash, kill and README tests
	$(GO) test -p $(JOBS) -timeout 30m ./...

# Debian's package would also make a database cluster and run it, unless it is told not to.
postgres: ## install PostgreSQL's programs for the tests, which start servers of their own (Debian, as root)
	@if ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The tests of the database need PostgreSQL's programs (initdb, postgres, pg_dump, pg_restore)."; \
		echo "Install your system's package of the server, on Debian as root: apt-get install postgresql"; exit 1; fi; \
	mkdir -p /etc/postgresql-common; \
	[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql

chromium: ## install Chromium for the tests of the dashboard (Debian, as root)
	@for name in chromium chromium-browser google-chrome headless-shell; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The tests of the dashboard need Chromium. Install your system's package of it, on Debian as root: apt-get install chromium"; exit 1; fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium

shell: ## install the sqlite3 shell and zip, beside which exports are measured (Debian, as root)
	@if command -v sqlite3 >/dev/null && command -v zip >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "Exports are measured beside the sqlite3 shell and zip. Install your system's packages of them, on Debian as root: apt-get install sqlite3 zip"; exit 1; fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends sqlite3 zip

lint: ## formatting and go vet
	@bad=$$(gofmt -l client cmd internal e2e tools 2>/dev/null); if [ -n "$$bad" ]; then echo "not formatted, run make fmt:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	cd tools/floor && $(GO) vet ./...

fmt: ## format the code
	gofmt -w client cmd internal e2e tools

docs: ## write the generated pages: settings, errors, commands, metrics, the API, the table of rooms
	$(GO) test ./internal -run 'TestArchitectureShowsTheTable' -update
	$(GO) test ./cmd/millrace -run 'TestDocs' -update

bench: build floor ## measure speed and memory beside the straight-line program, in turns (half an hour)
	$(BIN) bench $(SCENARIO) --floor bin/floor --rounds $(ROUNDS)

floor: ## build bin/floor, the straight-line program that speed is compared with
	@mkdir -p bin
	cd tools/floor && CGO_ENABLED=0 $(GO) build -trimpath -o ../../bin/floor .

speed: ## parts alone beside others: reader and JSON libraries, log and bare fsync, files and bare deflate
	cd tools/speed && $(GO) test -run '^$$' -bench . -benchtime 100ms -count 3 .
	$(GO) test -run '^$$' -bench 'Append$$|BareWrite' -benchtime 300x -count 5 ./internal/eventlog/segment
	$(GO) test -run '^$$' -bench File -benchtime 30x -count 3 ./internal/avrofile

exports: shell ## exports of EXPORT_PEOPLE=1000000 people from SQLite, in turns with the sqlite3 shell and zip (half an hour)
	EXPORT_PEOPLE=$(EXPORT_PEOPLE) $(GO) test ./internal/export -run '^$$' -bench Export -benchtime $(ROUNDS)x -timeout 2h

screenshots: chromium ## make docs/screenshots anew; ALL=1: every page in every language, size and state, in .cache/screenshots
	$(GO) test ./e2e -timeout 2h -count 1 -run 'TestScreenshots$$' -screenshots $(CURDIR)/$(if $(ALL),.cache/screenshots -screenshots-all,docs/screenshots)

pages: ## how long each page of the dashboard takes, with 200 Currents and a month behind them
	$(GO) test ./internal/web/page -run '^$$' -bench Pages -benchtime 100x

soak: build postgres chromium ## the long forms of the tests, docs/reliability.md (six hours and more, of which five are the model's; Python 3, a JDK, Maven, Node.js)
	MILLRACE_SOAK=1 $(GO) test -p $(JOBS) -timeout 48h -count 1 ./...

# What makes one of them fail is kept in its package's testdata/fuzz, and is from then on a row of make test.
fuzz: ## try each reader of outside bytes with inputs nobody thought of, FUZZTIME=60s each; FUZZ=Manifest: those of that name
	@set -e; grep -rn --include='*_test.go' '^func Fuzz' client internal | \
	sed -E 's#^(.*)/[^/]*:[0-9]+:func (Fuzz[A-Za-z0-9]+)\(.*#\1 \2#' | sort | while read dir name; do \
		if ! echo "$$name" | grep -qE '$(FUZZ)'; then continue; fi; \
		echo "$$name of $$dir"; $(GO) test "./$$dir" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME); \
	done

vuln: ## look for known vulnerabilities in what we depend on (needs the network, or VULNDB=file:///a/copy)
	@out=$$($(GO) run $(GOVULNCHECK) -db $(VULNDB) ./... 2>&1); code=$$?; printf '%s\n' "$$out"; \
	case $$out in *'fetching vulnerabilities'*) echo "vuln: nothing was looked for, since $(VULNDB) cannot be reached; VULNDB names another copy of the database" ;; esac; \
	exit $$code

clean: ## remove what was built
	rm -rf bin .cache

.PHONY: help build demo test postgres chromium shell exports screenshots pages lint fmt docs bench floor speed soak fuzz vuln clean
