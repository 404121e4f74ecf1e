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

func TestAPipeIsNotTakenForAnEmptyFile(t *testing.T) {
	w := newWorld(t)
	name := filepath.Join(w.dir, "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	// Its own end keeps it open, so that nobody waits for the other.
	pipe, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := pipe.WriteString(w.manifest("")); err != nil {
		t.Fatal(err)
	}
	_, err = w.play(Apply{File: name})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(Hint(err), "-f -") {
		t.Errorf("%v, hint %q", err, Hint(err))
	}
}
