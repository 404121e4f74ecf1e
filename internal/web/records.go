package web

import (
	"bytes"
	"context"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// Bounds of reading a file for somebody who looks into it.
const (
	defaultRecords = 10
	maxRecords     = 100
	maxRecordsSize = 1 << 20          // bytes of them as JSON; the one that goes beyond is the last
	lookLimit      = 15 * time.Second // for the store to answer
)

type recordsIn struct {
	fileIn
	Records *int `query:"records" doc:"How many at most: 1 to 100; 10 if it is left out. Fewer where they are long."`
}

func (a *api) getFileRecords(c *call, in recordsIn) (out client.FileRecords, err error) {
	n := defaultRecords
	if in.Records != nil {
		n = *in.Records
	}
	if n < 1 || n > maxRecords {
		return out, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{{Field: "records", Code: "out_of_range", Message: "One reads 1 to 100 records."}}}
	}
	f, err := a.file(c, in.fileIn)
	if err != nil {
		return out, err
	}
	access, err := a.deps.Plane.LookIntoFile(c, c.workspace.Number, f)
	if err != nil {
		return out, err
	}
	b, err := a.deps.Open(access)
	if err != nil {
		return out, err
	}
	defer b.Close() // idle connections only
	ctx, cancel := context.WithTimeout(c, lookLimit)
	defer cancel()
	// It is read only as far as is asked for: closing it early ends the transfer.
	body, _, err := b.Get(ctx, f.Key)
	if err != nil {
		return out, unread(err)
	}
	defer body.Close() // nothing is written
	size := 0
	for line, err := range avrofile.Records(body) {
		if err != nil {
			return out, unread(err)
		}
		if out.More = len(out.Records) == n || size > maxRecordsSize; out.More {
			break
		}
		size += len(line)
		out.Records = append(out.Records, bytes.Clone(line))
	}
	return out, nil
}

// unread says that a file cannot be read now, in the words for the problem: whoever owns the bucket can mend most of them,
// and asking again at once helps with none.
func unread(err error) error {
	e := &fault.Error{Code: fault.Conflict, Op: "read file", Cause: err}
	problem := bucket.ProblemOf(err)
	if problem == bucket.Damaged || problem == bucket.Unknown && fault.Is(err, fault.Corrupt) {
		e.Msg = fault.Message{Key: "control.file_damaged", Text: "What lies there is not the file that was written."}
		e.Hint = fault.Message{Key: "control.file_damaged_hint", Text: "See in the bucket who wrote there last. Replaying the hour writes files that are gone, and none over another."}
		return e
	}
	key := "bucket." + string(problem)
	e.Msg, e.Hint = fault.Message{Key: key, Text: text.T(text.English, key, nil)}, fault.Message{Key: key + ".hint", Text: text.T(text.English, key+".hint", nil)}
	return e
}
