package ingest

import (
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// Bounds of what is kept, in memory only: some 6 MiB at most.
const (
	rejectionsPerKey = 100
	rejectionKeys    = 100
	sampleBytes      = 256
)

// rejections keeps the last rejected events of each key. When there are too many keys the one that was quiet for
// longest is forgotten.
type rejections struct {
	mu    sync.Mutex
	byKey map[control.KeyID]*ring
}

type ring struct {
	items []control.Rejection
	next  int // where the next one goes, once items is full
}

func newRejections() *rejections { return &rejections{byKey: map[control.KeyID]*ring{}} }

func (s *rejections) add(key control.KeyID, r control.Rejection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byKey[key]
	if g == nil {
		if len(s.byKey) == rejectionKeys {
			s.forgetOne()
		}
		g = &ring{}
		s.byKey[key] = g
	}
	if len(g.items) < rejectionsPerKey {
		g.items = append(g.items, r)
		return
	}
	g.items[g.next] = r
	g.next = (g.next + 1) % rejectionsPerKey
}

func (s *rejections) forgetOne() {
	var oldest control.KeyID
	var at time.Time
	for k, g := range s.byKey {
		if t := g.newest().At; oldest == "" || t.Before(at) {
			oldest, at = k, t
		}
	}
	delete(s.byKey, oldest)
}

func (g *ring) newest() control.Rejection { return g.items[(g.next+len(g.items)-1)%len(g.items)] }

// Rejected gives the last rejected events of an API key since the start of the process, newest first: at most 100,
// and of each request the first five.
func (in *Ingest) Rejected(key control.KeyID) []control.Rejection {
	s := in.rejected
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byKey[key]
	if g == nil {
		return nil
	}
	out := make([]control.Rejection, 0, len(g.items))
	for i := range g.items {
		out = append(out, g.items[(g.next+2*len(g.items)-1-i)%len(g.items)])
	}
	return out
}

// mask gives the beginning of an event with its names, its type and its shape, but none of its values: letters are
// x, digits are 0. The text need not be JSON.
func mask(raw []byte) string {
	raw = raw[:min(len(raw), sampleBytes)]
	out := make([]byte, 0, len(raw))
	typed := false // the value that follows is the event's type
	for i := 0; i < len(raw); {
		if raw[i] != '"' {
			n := word(raw[i:])
			switch string(raw[i : i+n]) {
			case "true", "false", "null":
				out = append(out, raw[i:i+n]...)
			default:
				out = hide(out, raw[i:i+n])
			}
			i += n
			continue
		}
		end := i + 1
		for end < len(raw) && raw[end] != '"' {
			if raw[end] == '\\' {
				end++
			}
			end++
		}
		whole := end < len(raw)
		end = min(end+1, len(raw))
		text := raw[i:end]
		c := cursor{b: raw, i: end}
		isName := whole && c.peek() == ':'
		if isName || typed && whole {
			out = append(out, text...)
		} else {
			out = hide(out, text)
		}
		typed = isName && string(text) == `"event_type"`
		i = end
	}
	return string(out)
}

// word is the length of the run of letters at the front of b, or 1.
func word(b []byte) int {
	n := 0
	for n < len(b) && (b[n]|0x20 >= 'a' && b[n]|0x20 <= 'z') {
		n++
	}
	return max(n, 1)
}

func hide(out, text []byte) []byte {
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			c = '0'
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= 0x80, c < ' ':
			c = 'x'
		}
		out = append(out, c)
	}
	return out
}
