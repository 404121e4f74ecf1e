package ingest

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// recordClock is a control record without content. That it is durable proves how far the log's own clock has come;
// readers pass over it.
const recordClock control.RecordKind = "clock"

// Begin appends a record without content to a log that is empty. So no record that means something ever has offset 0,
// which positions and counts keep for "none". It is called once a log is opened, before anything else is appended.
//
// Durable: when err is nil. Errors: as eventlog.Log.Append, and a repetition is safe.
func Begin(ctx context.Context, log eventlog.Log) error {
	if _, head := log.Bounds(); head > 0 {
		return nil
	}
	b := new(eventlog.Batch)
	b.Reset(eventlog.Header{Kind: eventlog.Control})
	b.Add(0, control.EncodeRecord(control.Record{Kind: recordClock}))
	_, err := log.Append(ctx, b)
	return fault.Wrap(err, "begin the log")
}

// AppendHourMark appends the control record which says that no later record of the log has hour h or an earlier one.
//
// That is so by construction, whatever the machine's clock does: a time of acceptance is never before that of an
// earlier commit, and the mark is only handed to the log once a commit of a later hour is durable in it. Where no
// event has shown that yet, a record without content is appended first. Marking an hour again is no harm.
//
// Durable: when err is nil. Errors: conflict if h has not ended, by the machine's clock or by the log's; else as
// AppendControl, and a repetition is safe.
func (in *Ingest) AppendHourMark(ctx context.Context, h eventlog.Hour) error {
	const op = "mark hour"
	if in.accepted.Load() < startOfNext(h) {
		if time.Now().UnixMilli() < startOfNext(h) {
			return fault.New(fault.Conflict, op, "the hour %s has not ended", h)
		}
		r, err := in.AppendControl(ctx, 0, control.EncodeRecord(control.Record{Kind: recordClock}))
		if err != nil {
			return fault.Wrap(err, op)
		}
		if r.At.UnixMilli() < startOfNext(h) { // the machine's clock was set back in between
			return fault.New(fault.Conflict, op, "the hour %s has not ended by the log's clock", h)
		}
	}
	_, err := in.AppendControl(ctx, 0, control.EncodeRecord(control.Record{Kind: control.RecordHour, Hour: h}))
	return fault.Wrap(err, op)
}

// startOfNext is the first millisecond after h.
func startOfNext(h eventlog.Hour) int64 { return (h + 1).Start().UnixMilli() }

// sawTime notes that a commit accepted at t is durable.
func (in *Ingest) sawTime(t time.Time) {
	for ms := t.UnixMilli(); ; {
		had := in.accepted.Load()
		if ms <= had || in.accepted.CompareAndSwap(had, ms) {
			return
		}
	}
}
