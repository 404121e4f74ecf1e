package app

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/store/storetest"
)

// A program has a segment exported through the server: it gets the file by the link alone, once it is ready, and not after
// somebody was deleted.
func TestAProgramExportsASegment(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(strings.Replace(w.manifest(""), "[events.write]", "[events.write, users.track, users.delete, users.export.segment, users.export.global_control_group, segments.list]", 1)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sys, _ := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	acme, err := sys.plane.store.WorkspaceBy(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, url, body string) (int, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodPost {
			req.Header.Set("Authorization", "Bearer "+worldKey)
			req.Header.Set("Content-Type", "application/json")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, b
	}
	call := func(path, body string, want int) []byte {
		t.Helper()
		status, b := ask(http.MethodPost, sys.URL()+path, body)
		if status != want {
			t.Fatalf("%s %s: %d %s, want %d", path, body, status, b, want)
		}
		return b
	}
	// until waits for what good says.
	until := func(what string, good func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !good(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it did not come to ", what)
			}
		}
	}
	call("/users/track", `{"attributes":[{"external_id":"ana","country":"DE","plan":"gold"},{"external_id":"bo","country":"FR"}]}`, http.StatusCreated)
	germans := control.Filter{Attribute: &control.Condition{Name: "country", OneOf: []string{"DE"}}}
	until("two people", func() bool {
		n, err := sys.profiles.Size(t.Context(), acme.Number, control.Filter{}, time.Now())
		return err == nil && n == 2
	})
	name := "Germans"
	segment, err := sys.rules.CreateSegment(t.Context(), acme.Number, control.SegmentEdit{Name: &name, Filter: &germans})
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]int{
		`{"fields_to_export":["email"]}`:                                                                        http.StatusBadRequest,
		fmt.Sprintf(`{"segment_id":%q,"fields_to_export":["mail"]}`, segment.ID):                                http.StatusBadRequest,
		fmt.Sprintf(`{"segment_id":%q}`, segment.ID):                                                            http.StatusBadRequest,
		fmt.Sprintf(`{"segment_id":%q,"fields_to_export":["email"],"output_format":"none"}`, segment.ID):        http.StatusBadRequest,
		fmt.Sprintf(`{"segment_id":%q,"fields_to_export":["email"],"callback_endpoint":"ftp://x"}`, segment.ID): http.StatusBadRequest,
	} {
		call("/users/export/segment", body, want)
	}
	for _, path := range []string{"/users/export/segment", "/export/segment/cancel"} {
		if got := call(path, `{"segment_id":"018c0000-0000-7000-8000-000000000000","fields_to_export":["email"]}`, http.StatusBadRequest); !strings.Contains(string(got), "Invalid Segment ID") {
			t.Errorf("%s answers %s", path, got)
		}
		if got := call(path, `{}`, http.StatusBadRequest); !strings.Contains(string(got), `"segment_id","code":"required","message":"Say which segment is meant."`) {
			t.Errorf("%s answers %s", path, got)
		}
	}
	call("/users/export/global_control_group", `{"fields_to_export":["email"]}`, http.StatusUnprocessableEntity)

	var out struct {
		Message, URL string
		Prefix       string `json:"object_prefix"`
	}
	type called struct {
		header http.Header
		body   string
	}
	calls := make(chan called, 100)
	program := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls <- called{r.Header, string(b)}
	}))
	t.Cleanup(program.Close)
	if err := json.Unmarshal(call("/users/export/segment", fmt.Sprintf(`{"segment_id":%q,"fields_to_export":["external_id","custom_attributes"],"callback_endpoint":%q}`, segment.ID, program.URL), http.StatusOK), &out); err != nil {
		t.Fatal(err)
	}
	if out.Message != "success" || len(out.Prefix) != 47 || !strings.HasPrefix(out.URL, sys.URL()+"/users/export/file/") {
		t.Errorf("it answers %+v", out)
	}
	select {
	case c := <-calls:
		if want := fmt.Sprintf(`{"success":true,"url":%q}`, out.URL); c.body != want {
			t.Errorf("the program is called with %s, want %s", c.body, want)
		}
		id, key := c.header.Get(notify.HeaderID), sha256.Sum256([]byte(worldKey))
		if want := notify.Sign(hex.EncodeToString(key[:]), id, c.header.Get(notify.HeaderTimestamp), []byte(c.body)); id != out.Prefix || c.header.Get(notify.HeaderSignature) != want {
			t.Errorf("the call of %s is %v, want the signature %s", out.Prefix, c.header, want)
		}
	case <-time.After(time.Minute):
		t.Fatal("the program is not called")
	}
	var file []byte
	until("a file", func() bool {
		status, b := ask(http.MethodGet, out.URL, "")
		if status != http.StatusOK && status != http.StatusNotFound {
			t.Fatalf("the link gives %d %s", status, b)
		}
		file = b
		return status == http.StatusOK
	})
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil || len(z.File) != 1 {
		t.Fatalf("%v in %d bytes", err, len(file))
	}
	r, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != `{"custom_attributes":{"plan":"gold"},"external_id":"ana"}`+"\n" {
		t.Errorf("it holds %q, %v", text, err)
	}
	if status, _ := ask(http.MethodGet, out.URL[:len(out.URL)-1]+"x", ""); status != http.StatusNotFound {
		t.Errorf("a link that is not ours gives %d", status)
	}
	call("/export/segment/cancel", fmt.Sprintf(`{"segment_id":%q}`, segment.ID), http.StatusOK) // of which none is open

	call("/users/delete", `{"external_ids":["bo"]}`, http.StatusCreated)
	until("nobody reads of bo", func() bool {
		n, err := sys.profiles.Size(t.Context(), acme.Number, control.Filter{}, time.Now())
		return err == nil && n == 1
	})
	if status, b := ask(http.MethodGet, out.URL, ""); status != http.StatusOK || !bytes.Equal(b, file) {
		t.Errorf("after a deletion of somebody who is not in it the link gives %d %.200s", status, b)
	}
	call("/users/delete", `{"external_ids":["ana"]}`, http.StatusCreated)
	until("no file of a past with ana", func() bool {
		kept, err := sys.plane.store.KeptExports(t.Context(), time.Now())
		return err == nil && len(kept) == 0
	})
	if status, b := ask(http.MethodGet, out.URL, ""); status != http.StatusGone {
		t.Errorf("after a deletion the link gives %d %s", status, b)
	}
}

// A deletion is noted ahead of the time while it is applied, since who begins to read meanwhile may still find them, and at
// its time afterwards.
func TestADeletionIsNotedBeforeAndAfterItIsApplied(t *testing.T) {
	p := storetest.OpenProfiles(t)
	at := time.Now().UTC().Truncate(time.Millisecond)
	first := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1, People: []*control.Person{{Row: 1, New: true, Workspace: 7, ID: "000000000000000000000001", ExternalID: "ana", CreatedAt: at, UpdatedAt: at}}}
	if err := p.Apply(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	var noted notes
	there := func() bool {
		n, err := p.Size(t.Context(), 7, control.Filter{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
	noted.there = there
	e := erasing{p, &noted}
	gone := &control.PeopleBatch{Log: first.Log, From: 1, Next: 2, Moves: []control.PersonMove{{Person: 1, Workspace: 7, ID: first.People[0].ID}}}
	if err := e.Apply(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if now := time.Now(); noted.before.Before(now.Add(applyMost/2)) || noted.after.IsZero() || noted.after.After(now) || len(noted.moves) != 1 || noted.moves[0] != gone.Moves[0] {
		t.Errorf("at %v it is noted as %+v", now, noted)
	}
}

// notes are what is noted of workspace 7: while somebody is there, and after that.
type notes struct {
	there         func() bool
	moves         []control.PersonMove
	before, after time.Time
}

func (n *notes) NoteMoves(_ context.Context, workspace uint32, moves []control.PersonMove, at time.Time) error {
	if workspace == 7 && n.there() {
		n.moves, n.before = moves, at
	}
	return nil
}

func (n *notes) NoteErasure(_ context.Context, workspace uint32, at time.Time) error {
	if workspace == 7 && !n.there() {
		n.after = at
	}
	return nil
}
