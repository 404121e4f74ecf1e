package page

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// twiceWithin is for how long a form that did what it says counts as sent a second time: that of an impatient hand, or
	// of a browser that tries again. Later it is somebody who went back and means it.
	twiceWithin = 10 * time.Second
	// maxAnswers bounds the memory of answers: a page has some 50 KB. Beyond it forms are answered each on its own.
	maxAnswers = 256
)

// answers are those that forms got of late. Who sends the same rendering of a form a second time, as it stands, gets the
// first answer, and waits for it while it is under way: a browser shows the last answer only, and that must not be an error
// when all is well, nor lack what is shown once. A form that was refused counts as never sent. Safe for concurrent use.
type answers struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*answering
}

// answering is one form's answer.
type answering struct {
	done   chan struct{} // closed when it is there
	answer *recorded     // nil: it panicked
	until  time.Time     // zero: under way
}

// serve has do answer r, or gives the answer that the same form got. What do does goes to its end though the browser goes
// away: it does so from the first of two, and waits for what the second brings.
func (a *answers) serve(w http.ResponseWriter, r *http.Request, open bool, now func() time.Time, do http.HandlerFunc) {
	key, once := keyOf(r, open)
	if !once {
		do(w, r)
		return
	}
	a.mu.Lock()
	maps.DeleteFunc(a.all, func(_ [sha256.Size]byte, x *answering) bool { return !x.until.IsZero() && now().After(x.until) })
	first, again := a.all[key]
	if !again && len(a.all) < maxAnswers {
		first = &answering{done: make(chan struct{})}
		a.all[key] = first
	}
	a.mu.Unlock()
	switch {
	case first == nil:
		do(w, r)
		return
	case again:
		select {
		case <-first.done:
		case <-r.Context().Done():
			return
		}
	default:
		a.first(key, first, r, now, do)
	}
	if first.answer == nil {
		do(w, r)
		return
	}
	maps.Copy(w.Header(), first.answer.header)
	w.WriteHeader(first.answer.status)
	_, _ = w.Write(first.answer.body.Bytes()) // a browser that is gone is no error of ours
}

func (a *answers) first(key [sha256.Size]byte, x *answering, r *http.Request, now func() time.Time, do http.HandlerFunc) {
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if x.until = now().Add(twiceWithin); x.answer == nil || x.answer.status >= http.StatusBadRequest {
			delete(a.all, key)
		}
		close(x.done)
	}()
	answer := &recorded{header: http.Header{}, status: http.StatusOK}
	do(answer, r.WithContext(context.WithoutCancel(r.Context())))
	x.answer = answer
}

// isSession reports whether a cookie of that name holds a session. Source: docs/openapi.json, security.
func isSession(cookie string) bool { return strings.TrimPrefix(cookie, "__Host-") == "millrace" }

// keyOf stands for one rendering of a form as it was sent, by one session; once is false for a form that does not tell its
// renderings apart. Forms for who is not signed in begin sessions, so the second may come with that of the first.
func keyOf(r *http.Request, open bool) (key [sha256.Size]byte, once bool) {
	if r.PostFormValue(onceField) == "" {
		return key, false
	}
	session := ""
	for _, k := range r.Cookies() {
		if !open && isSession(k.Name) {
			session = k.Value
		}
	}
	return sha256.Sum256([]byte(strings.Join([]string{session, r.URL.RequestURI(), r.PostForm.Encode()}, "\n"))), true
}
