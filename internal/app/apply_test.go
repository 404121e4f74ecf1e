package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

func TestAFileOfApplyThatHoldsNoWorkspacesIsRefusedByName(t *testing.T) {
	for name, content := range map[string]string{"nothing": "", "a comment": "# later\n", "an empty list": "workspaces: []\n", "only anchors": "x-keys: {a: 1}\n"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.apply(content)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(Sentence(err), "apply.yaml") || !strings.Contains(Sentence(err), "workspaces") {
				t.Errorf("a file: %v", err)
			}
			var out bytes.Buffer
			err = Apply{File: "-"}.Run(t.Context(), &Console{In: strings.NewReader(content), Out: &out, Err: &out}, w.s)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(Sentence(err), "standard input") {
				t.Errorf("standard input: %v\n%s", err, &out)
			}
			if _, err := os.Stat(w.data(databaseName)); err == nil {
				t.Error("a data folder was made for it")
			}
		})
	}
}

func TestAPipeIsReadWhole(t *testing.T) {
	w := newWorld(t)
	name := filepath.Join(w.dir, "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(name, []byte(w.manifest("")), 0) }()
	if out := w.must(Apply{File: name}); !strings.Contains(out, "connector acme/warehouse") {
		t.Errorf("apply prints %q", out)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
