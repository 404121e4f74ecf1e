package notify

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// Say gives what one notice says where it is shown by itself: a sentence, and paragraphs with an empty line between.
// Both are plain text, and empty for a kind of a newer program that shares this inbox. Times are in UTC.
func Say(l text.Language, n control.Notice, now time.Time) (title, words string) {
	room := maxLines
	p := describe(l, []control.Notice{n}, now, &room)
	paragraphs := make([]string, len(p.Says))
	for i, s := range p.Says {
		paragraphs[i] = s.Text
		if s.Label != "" {
			paragraphs[i] = s.Label + ": " + s.Text
		}
	}
	return p.Title, strings.Join(paragraphs, "\n\n")
}

// KindTest is the kind of a trial call. Nobody is told of it but the webhook.
const KindTest = "test"

// Try calls a webhook once, signed as any call, with a message of kind test; it is neither kept nor tried again.
//
// Errors: unavailable, with a sentence that names no more of the address than its host, if the receiver does not take it
// within 10 s; its parameter control.ParamStatus is the status that the receiver answered with, 0 if nothing came.
func (n *Notifier) Try(ctx context.Context, w control.Webhook) error {
	const op = "try webhook"
	now := time.Now().UTC()
	id := n.messageOf(control.Send{}) + "-test-" + strconv.FormatInt(now.UnixMilli(), 10)
	body, err := json.Marshal(payload{ID: id, Kind: KindTest, Episode: id, At: now.Format("2006-01-02T15:04:05.000Z"), Params: map[string]string{},
		Text: "This is a trial call. Nothing has happened."})
	if err != nil {
		return fault.From(err, fault.Internal, op)
	}
	if out := n.post(ctx, w, id, body); out.err != nil {
		untaken := fault.New(fault.Unavailable, op, "The call was not taken: %s.", out.err.Error()).WithCause(out.err)
		untaken.Params = fault.Params{control.ParamStatus: out.status}
		return untaken
	}
	return nil
}
