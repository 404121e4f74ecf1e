package app

import (
	"bufio"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/vfs"
)

// Revoking a key is one of the first things that somebody tries in the dashboard.
func TestTheDemoOutlivesTheKeyOfItsProducer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo-data")
	ctx, quit := context.WithCancel(AsCommandLine(t.Context()))
	defer quit()
	said, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Demo{Dir: dir, Rate: 100, Listen: "127.0.0.1:0"}.Run(ctx, &Console{Out: out, Err: out, Program: "millrace"}, Settings{})
		out.CloseWithError(errors.Join(io.EOF, err))
		ended <- err
	}()
	var asked *client.Client
	url, revoked := "", 0
	for lines := bufio.NewScanner(said); lines.Scan(); {
		switch line := strings.TrimSpace(lines.Text()); {
		case strings.HasPrefix(line, "address "):
			url = strings.TrimSpace(strings.TrimPrefix(line, "address "))
		case url != "" && strings.HasPrefix(line, url+"/v1/events"): // its last words before the producer begins
			state, err := loadDemo(vfs.OS(dir))
			if err != nil {
				t.Fatal(err)
			}
			asked = client.New(url, state.Token)
			for k, err := range asked.ListAPIKeys(ctx, "demo") {
				if err != nil {
					t.Fatal(err)
				}
				if err := asked.RevokeAPIKey(ctx, "demo", k.ID); err != nil {
					t.Fatal(err)
				}
			}
		case strings.Contains(line, "was revoked"):
			revoked++
			if _, err := asked.GetWorkspace(ctx, "demo"); err != nil {
				t.Errorf("the server, after the producer stopped: %v", err)
			}
			quit()
		}
	}
	if err := <-ended; err != nil || revoked != 1 {
		t.Errorf("the demo ended with %v, and said %d times that its key was revoked", err, revoked)
	}
}
