package notify

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// ended is the body of the call of a program whose export has ended. Source of the names: Braze, "Export user profiles by
// segment", callback_endpoint.
type ended struct {
	Success bool   `json:"success"`
	URL     string `json:"url,omitempty"` // where the file is; of a linked bucket none
}

// listener is who is called of exports, one after the other.
type listener struct {
	workspace uint32
	host      string
}

// SignerOf gives the secret under which calls of programs are signed: their API key's SHA-256 in hex, which the program can
// make of its key, and which is all that is kept of the key.
func SignerOf(key control.KeyHash) secret.Value { return secret.New(hex.EncodeToString(key[:])) }

// tellPrograms starts the calls that are due of exports. pause is when to look again.
func (n *Notifier) tellPrograms(ctx context.Context, under *sync.WaitGroup) (pause time.Duration, err error) {
	n.mu.Lock()
	telling := maps.Clone(n.telling) // before reading what is due, as in round
	n.mu.Unlock()
	all, err := n.deps.Store.ExportCalls(ctx)
	if fault.Is(err, fault.Corrupt) {
		n.deps.Logger.Error("programs are not told of exports of which it cannot be read what was asked for", "error", err)
	} else if err != nil {
		return poll, fault.Wrap(err, "find the due calls of exports")
	}
	pause = poll
	now := time.Now()
	due := map[listener][]control.Export{}
	for _, e := range all {
		if d := e.Call.Next.Sub(now); d > 0 {
			pause = min(pause, d)
			continue
		}
		to := listener{workspace: e.Workspace}
		if u, err := url.Parse(e.Spec.Callback); err == nil { // else its call says so
			to.host = u.Host
		}
		due[to] = append(due[to], e)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for to, exports := range due {
		if telling[to] || len(n.telling) >= callsAtOnce {
			continue
		}
		n.telling[to] = true
		under.Go(func() {
			n.tell(ctx, exports)
			n.mu.Lock()
			delete(n.telling, to)
			n.mu.Unlock()
			n.Wake()
		})
	}
	return pause, nil
}

// tell calls one receiver of each of these exports.
func (n *Notifier) tell(ctx context.Context, exports []control.Export) {
	inTurn(ctx, exports, n.beginTelling, n.tellOf, n.endTelling)
}

func (n *Notifier) beginTelling(ctx context.Context, e *control.Export) bool {
	e.Call.Tries++
	// If the process dies during the try, this is when it is repeated.
	e.Call.Next = time.Now().Add(pauseAfter(e.Call.Tries))
	err := n.deps.Store.NoteExportCall(ctx, *e)
	if err != nil {
		n.logTelling(*e).Error("the call of an export waits: its state could not be saved", "error", err)
	}
	return err == nil
}

// endTelling saves what came of a call, which is tried for as long as the files of its export could be downloaded.
func (n *Notifier) endTelling(ctx context.Context, e control.Export, out outcome) {
	now, last := time.Now(), e.DoneAt.Add(e.Kind.Life())
	switch {
	case out.err == nil:
		e.Call.Next = time.Time{}
	case out.final, !now.Before(last):
		e.Call.Next = time.Time{}
		n.logTelling(e).Warn("the call of an export was given up", "error", out.err)
	default:
		if e.Call.Next = now.Add(pauseAfter(e.Call.Tries)); e.Call.Next.After(last) {
			e.Call.Next = last
		}
		n.logTelling(e).Info("the call of an export is tried again later", "error", out.err, "next", e.Call.Next)
	}
	if err := n.deps.Store.NoteExportCall(ctx, e); err != nil {
		n.logTelling(e).Error("what became of the call of an export could not be saved; it is repeated", "error", err)
	}
}

func (n *Notifier) logTelling(e control.Export) *slog.Logger {
	return n.deps.Logger.With("export", e.ID, "tries", e.Call.Tries)
}

// tellOf makes one call. Its id is the export's prefix, which the program was answered with when it asked.
func (n *Notifier) tellOf(ctx context.Context, e control.Export) outcome {
	hash, err := n.deps.Store.KeyHash(ctx, e.Workspace, e.Key)
	switch {
	case fault.Is(err, fault.NotFound):
		return outcome{err: errors.New("the API key that asked for it is gone: nobody could check its signature"), final: true}
	case err != nil:
		return outcome{err: err}
	}
	said := ended{Success: e.State == control.ExportDone}
	if said.Success && !e.Place.Linked() && n.deps.Link != nil {
		said.URL = n.deps.Link(e)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(said); err != nil {
		return outcome{err: err}
	}
	return n.post(ctx, control.Webhook{URL: e.Spec.Callback, Secret: SignerOf(hash)}, e.Prefix(), bytes.TrimSpace(b.Bytes()))
}
