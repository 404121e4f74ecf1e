package ingest

import (
	"net/http"
	"strconv"

	"github.com/millrace/millrace/internal/httpd"
)

// Error is one problem of one rejected event.
type Error struct {
	Index   int    `json:"index"` // of the event in the request, from 0; blank lines do not count
	Field   string `json:"field"` // empty if it is the event itself
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Result is the answer to a request of which something could be read.
type Result struct {
	Accepted  int     `json:"accepted"` // events, durable
	Rejected  int     `json:"rejected"` // events
	Errors    []Error `json:"errors"`   // in order of the events; at most 100
	Truncated bool    `json:"errors_truncated,omitempty"`
	Ignored   int     `json:"ignored_fields,omitempty"` // unknown fields dropped, where the workspace says so
}

// replayed is the answer to a repeated request: the problems were not kept.
type replayed struct {
	Accepted  int  `json:"accepted"`
	Rejected  int  `json:"rejected"`
	Truncated bool `json:"errors_truncated,omitempty"`
}

func writeResult(w http.ResponseWriter, status int, res Result) {
	if len(res.Errors) > 0 {
		httpd.WriteJSON(w, status, res)
		return
	}
	b := make([]byte, 0, 96)
	b = append(b, `{"accepted":`...)
	b = strconv.AppendInt(b, int64(res.Accepted), 10)
	b = append(b, `,"rejected":0,"errors":[]`...)
	if res.Ignored > 0 {
		b = append(b, `,"ignored_fields":`...)
		b = strconv.AppendInt(b, int64(res.Ignored), 10)
	}
	b = append(b, "}\n"...)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that is gone has nothing more to be told
}
