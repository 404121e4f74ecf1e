package ingest

import (
	"context"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// AppendTestEvents appends one realistic event of each of types, as one commit that is for the connector with that
// number alone. Their ids begin with "test-"; they are no part of counts, audit or statistics.
//
// Durable: when err is nil; n is how many there are. Errors: invalid if types is empty; as AppendControl.
func (in *Ingest) AppendTestEvents(ctx context.Context, workspace, number uint32, types []*event.Type) (n int, err error) {
	const op = "append test events"
	if len(types) == 0 {
		return 0, fault.New(fault.Invalid, op, "no event type is selected, so there is nothing to send")
	}
	b := new(eventlog.Batch)
	b.Reset(eventlog.Header{Workspace: workspace, Kind: eventlog.Events, Target: number})
	reader := event.NewReader(in.cat)
	for _, t := range types {
		in.sampling.Lock()
		raw := in.sample(nil, t)
		in.sampling.Unlock()
		buf, schema, res := reader.Read(b.Begin(), raw, event.Options{})
		if len(res.Problems) > 0 {
			return 0, fault.New(fault.Internal, op, "the event made of type %s is not good: %v", t.Name, res.Problems)
		}
		b.Commit(buf, uint32(schema.ID))
	}
	if _, err := in.append(ctx, b, nothing); err != nil {
		return 0, fault.Wrap(err, op)
	}
	return len(types), nil
}
