package httpd

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Problem is an error as answers carry it, under the name "error".
type Problem struct {
	Code      string          `json:"code"`
	Message   string          `json:"message"`
	Hint      string          `json:"hint,omitempty"`
	Fields    []fault.Problem `json:"fields,omitempty"`
	RequestID string          `json:"request_id,omitempty"`
}

// WriteError answers err as JSON with its code's status of fault.Table, and Retry-After where err has advice or
// its code means "later". The cause stays in the log; of internal and corrupt errors the message stays there too.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	WriteErrorStatus(w, r, fault.CodeOf(err).HTTP(), err)
}

// WriteErrorStatus is WriteError with a status that says more than the code's own.
func WriteErrorStatus(w http.ResponseWriter, r *http.Request, status int, err error) {
	WriteErrorAs(w, r, status, err, func(p Problem) any {
		return struct {
			Error Problem `json:"error"`
		}{p}
	})
}

// WriteErrorAs is WriteErrorStatus with a body of another form: what as makes of the problem.
func WriteErrorAs(w http.ResponseWriter, r *http.Request, status int, err error, as func(Problem) any) {
	code := fault.CodeOf(err)
	p := Problem{Code: string(code), RequestID: RequestID(r)}
	var wait time.Duration
	if e := fault.As(err); e != nil {
		wait = e.RetryAfter
		if code != fault.Internal && code != fault.Corrupt {
			p.Message, p.Hint, p.Fields = e.Message(), fault.HintOf(err), e.Fields
		}
	}
	if p.Message == "" {
		p.Message = means(code)
	}
	if wait == 0 && (code == fault.Unavailable || code == fault.RateLimited) {
		wait = time.Second
	}
	if q := of(r); q != nil {
		q.err = err
	}
	h := w.Header()
	if wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Bearer realm="millrace"`)
	}
	WriteJSON(w, status, as(p))
}

func means(code fault.Code) string {
	for _, row := range fault.Table {
		if row.Code == code {
			return row.Means
		}
	}
	return string(code)
}

// WriteJSON answers v with status. A client that is gone is not an error of ours.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // v is of this program's making
		panic(fault.From(err, fault.Internal, "encode answer"))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// NotFound answers addresses that do not exist; register it for "/".
func NotFound(w http.ResponseWriter, r *http.Request) {
	WriteError(w, r, fault.New(fault.NotFound, "", "There is nothing at this address."))
}

// MethodNotAllowed answers 405 and names the methods that would do.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	WriteErrorStatus(w, r, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "", "This address takes %s only.", allow))
}
