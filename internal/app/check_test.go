package app

import (
	"bytes"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/fault"
)

func TestAStepThatIsTriedAgainSaysWhyOnce(t *testing.T) {
	trying := bucket.Step{Action: "sts:AssumeRole", State: bucket.Trying, Finding: bucket.Finding{Message: fault.Message{Text: "The role cannot be assumed yet."}}}
	for _, terminal := range []bool{false, true} {
		var said bytes.Buffer
		show, end := (&Console{Err: &said, Terminal: terminal}).steps()
		for _, left := range []time.Duration{120, 119, 117, 113} {
			trying.Left = left * time.Second
			show(trying)
		}
		show(bucket.Step{Action: "sts:AssumeRole", State: bucket.Passed})
		end()
		reason := "  trying   sts:AssumeRole again, for up to 2m0s: The role cannot be assumed yet.\n"
		expect := reason
		if terminal {
			for _, left := range []string{"1m59s", "1m57s", "1m53s"} {
				expect += "\r\x1b[K  trying   sts:AssumeRole again, for up to " + left
			}
			expect += "\r\x1b[K"
		}
		if expect += "  passed   sts:AssumeRole\n"; said.String() != expect {
			t.Errorf("terminal %v:\n%q, want\n%q", terminal, &said, expect)
		}
	}
}

func TestAMissingStatementIsShownOnce(t *testing.T) {
	w := newWorld(t)
	var denied atomic.Bool
	w.shop.close()
	var err error
	w.shop, err = openShop(shopConfig{dir: filepath.Join(w.dir, "bucket"), buckets: []string{"acme-currents"}, keyID: "AKIAWORLD", key: "world-secret", listen: "127.0.0.1:0",
		fails: func(r *http.Request) bucketserver.Fault {
			if denied.Load() && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "_millrace-check") {
				return bucketserver.Fault{Status: 403, Code: "AccessDenied"}
			}
			return bucketserver.Fault{}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.shop.close)
	if _, err := w.apply(w.manifest("")); err != nil {
		t.Fatal(Sentence(err))
	}
	denied.Store(true)
	var said bytes.Buffer
	err = ConnectorCheck{Connector: "warehouse", Format: "json"}.Run(t.Context(), &Console{Out: &said, Err: &said}, w.s)
	if !fault.Is(err, fault.Forbidden) || !strings.Contains(Sentence(err), "s3:GetObject: ") {
		t.Fatalf("%v\n%s", err, &said)
	}
	if n := strings.Count(said.String()+Sentence(err), `"Effect"`); n != 1 {
		t.Errorf("the statement stands there %d times:\n%s%s", n, &said, Sentence(err))
	}
}
