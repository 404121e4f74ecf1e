package ingest

import (
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// Bounds of what is kept, in memory only: some 15 MiB at most.
const (
	rejectionsPerKey = 100
	rejectionKeys    = 100
	keptProblems     = 3
	sampleBytes      = 256
)

// rejections keeps the last rejected events of each key, and bodies refused whole, each as one. When there are too many keys the one that was quiet for
// longest is forgotten.
type rejections struct {
	mu    sync.Mutex
	byKey map[control.KeyID]*ring
}

type ring struct {
	items []control.Rejection
	next  int   // where the next one goes, once items is full
	total int64 // rejected events and bodies, kept or not
}

func newRejections() *rejections { return &rejections{byKey: map[control.KeyID]*ring{}} }

// keep adds r to what is kept of one request, of which the last ones count.
func keep(some []control.Rejection, r control.Rejection) []control.Rejection {
	if len(some) == 2*rejectionsPerKey {
		some = some[:copy(some, some[rejectionsPerKey:])]
	}
	return append(some, r)
}

// add counts the rejected events of one request, and keeps the last of them.
func (s *rejections) add(key control.KeyID, total int, some []control.Rejection) {
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
	g.total += int64(total)
	for _, r := range some {
		if len(g.items) < rejectionsPerKey {
			g.items = append(g.items, r)
			continue
		}
		g.items[g.next] = r
		g.next = (g.next + 1) % rejectionsPerKey
	}
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

// Rejected gives how many events of an API key were rejected since the start of the process, a body that was refused whole
// counting as one, and the last of them, newest first: at most 100, of each event the
// first three problems. No value of an event is among it, nor a name that could be one: see mask.
//
// Of the 100 keys that had something rejected last; of others 0 and nil.
func (in *Ingest) Rejected(key control.KeyID) (total int64, last []control.Rejection) {
	s := in.rejected
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byKey[key]
	if g == nil {
		return 0, nil
	}
	last = make([]control.Rejection, 0, len(g.items))
	for i := range g.items {
		last = append(last, g.items[(g.next+2*len(g.items)-1-i)%len(g.items)])
	}
	return g.total, last
}

// rejection is what is kept of an event that was rejected for problems.
func rejection(index int, raw []byte, problems []fault.Problem) control.Rejection {
	r := control.Rejection{At: time.Now(), Index: index, Sample: mask(raw), More: len(problems) > keptProblems}
	for _, p := range problems[:min(len(problems), keptProblems)] {
		r.Problems = append(r.Problems, maskProblem(p))
	}
	return r
}

// refusedWhole keeps and counts a body that was read and then refused whole, as one. What is wrong with it is said by the
// sentence of the whole, which names nothing that the producer sent: names in an envelope are not listed.
func (q *request) refusedWhole(err error) {
	code := fault.CodeOf(err)
	if code != fault.Invalid && code != fault.TooLarge {
		return // the body is not to blame
	}
	q.in.rejected.add(q.grant.Key, 1, []control.Rejection{{At: time.Now(), Whole: true, Sample: mask(q.body),
		Problems: []fault.Problem{{Code: string(code), Message: fault.As(err).Message()}}}})
}

// quoting are the problems whose sentences repeat what the producer sent, with what is said instead where it may not be
// kept.
var quoting = map[string]string{
	event.CodeUnknownField:     "the type has no field of that name, which is masked here",
	event.CodeDuplicateField:   "a field, whose name is masked here, stands twice in the event",
	event.CodeUnknownEventType: "that is not an event type; it is masked here",
	event.CodeInvalidTime:      "that is not a time as in RFC 3339, such as 2026-11-22T10:15:00Z; it is masked here",
}

// maskProblem gives p without what could be personal data. A name that looks like one is left: a misspelt field is what
// producers look for here.
func maskProblem(p fault.Problem) fault.Problem {
	instead, quotes := quoting[p.Code]
	said := p.Field
	if p.Code == event.CodeUnknownEventType {
		_, said, _ = strings.Cut(p.Message, `"`)
		said, _, _ = strings.Cut(said, `"`)
	}
	if !quotes || p.Code != event.CodeInvalidTime && isName(said) {
		return p
	}
	p.Message = instead
	if !isName(p.Field) {
		p.Field = string(hide(nil, []byte(p.Field)))
	}
	return p
}

// isName tells whether s looks like a name that a programmer gave: short ASCII words, at most four digits in a row. A
// producer that sends a map where fields belong has people's addresses, names and numbers for names.
func isName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	digits := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			if digits++; i == 0 || digits > 4 {
				return false
			}
		case c|0x20 >= 'a' && c|0x20 <= 'z', c == '_', c == '.', c == '-':
			digits = 0
		default:
			return false
		}
	}
	return true
}

// mask gives the beginning of an event with the names of its fields, its type and its shape, but none of its values,
// nor names that could be values: letters are x, digits are 0. The text need not be JSON.
func mask(raw []byte) string {
	raw = raw[:min(len(raw), sampleBytes)]
	out := make([]byte, 0, len(raw))
	depth := 0     // names further in are the producer's data
	typed := false // the value that follows is the event's type
	for i := 0; i < len(raw); {
		if raw[i] != '"' {
			switch raw[i] {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			typed = typed && (raw[i] == ':' || raw[i] == ' ')
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
		named := whole && depth == 1 && c.peek() == ':'
		if (named || typed && whole) && isName(string(text[1:len(text)-1])) {
			out = append(out, text...)
		} else {
			out = hide(out, text)
		}
		typed = named && string(text) == `"event_type"`
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
