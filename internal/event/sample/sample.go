// Package sample makes events that look like real ones: for test events, the demo, the bench and tests.
//
// Campaigns, Canvases and apps are few and keep their ids; people are many; texts are in English, Portuguese and
// Spanish; some hold JSON. Every event is good: the reader takes each one.
// Start reading at Maker.
package sample

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/event"
)

// Mix is the ten types that a Maker makes when it is told none, about 890 bytes of JSON each: the load that speed
// is measured with.
func Mix() []string {
	return []string{
		"users.messages.email.Open", "users.messages.email.Click", "users.messages.email.Send",
		"users.messages.pushnotification.Send", "users.messages.pushnotification.Open",
		"users.behaviors.CustomEvent", "users.behaviors.Purchase", "users.behaviors.app.SessionStart",
		"users.messages.inappmessage.Impression", "users.canvas.Entry",
	}
}

// pooled is how many events are made beforehand: several times more than a compressor looks back, and little memory.
const pooled = 4096

// Maker makes events. It is for one goroutine at a time; makers with the same catalogue, seed and types make the same
// events, but for their ids and times.
type Maker struct {
	random *rand.Rand
	ids    *rand.ChaCha8
	types  []*event.Type
	pool   []made
	next   int

	scene map[string]any // values of the event that is made, by field; nil leaves a field out; other fields are made up

	second int64            // of the last event's time
	digits [timeLength]byte // the same in decimal
}

// made is an event and where in it those ten digits and that id stand that are written anew each time.
type made struct {
	text     []byte
	id, time int
}

const (
	idLength   = 36
	timeLength = 10 // seconds until 2286; before 2001 a space is one of them
)

// New gives a maker of events of those types, by name; of the types of Mix if there are none.
//
// Ids differ between all makers and runs, whatever the seed.
// Errors: none; it panics on a name that c does not have, which is a mistake in the program.
func New(c *event.Catalogue, seed uint64, types []string) *Maker {
	if len(types) == 0 {
		types = Mix()
	}
	var fresh [32]byte
	for i := 0; i < len(fresh); i += 8 {
		binary.LittleEndian.PutUint64(fresh[i:], rand.Uint64())
	}
	m := &Maker{random: rand.New(rand.NewPCG(seed, 7)), ids: rand.NewChaCha8(fresh)}
	for _, name := range types {
		t, ok := c.Type(name)
		if !ok {
			panic(fmt.Sprintf("sample: no event type %q", name))
		}
		m.types = append(m.types, t)
	}
	return m
}

// Append appends one event, a JSON object without newline, of one of the maker's types, with a new id and the
// present second as its time. It costs a few hundred nanoseconds; the first call some milliseconds more.
func (m *Maker) Append(dst []byte) []byte {
	if m.pool == nil {
		m.fill()
	}
	e := &m.pool[m.next]
	m.next = (m.next + 1) % len(m.pool)
	at := len(dst)
	dst = append(dst, e.text...)
	m.putID(dst[at+e.id:])
	if now := time.Now().Unix(); now != m.second {
		m.second = now
		m.digits = [timeLength]byte(appendTime(nil, now))
	}
	copy(dst[at+e.time:], m.digits[:])
	return dst
}

// AppendType appends one event of type t, as Append does, made for this call.
func (m *Maker) AppendType(dst []byte, t *event.Type) []byte {
	return m.appendEvent(dst, t, "", absent)
}

// AppendWhole appends one event of type t, as AppendType does, with every field that the type has.
func (m *Maker) AppendWhole(dst []byte, t *event.Type) []byte { return m.appendEvent(dst, t, "", 0) }

// AppendTest appends one test event of type t: its id begins with "test-".
func (m *Maker) AppendTest(dst []byte, t *event.Type) []byte {
	return m.appendEvent(dst, t, "test-", absent)
}

func (m *Maker) fill() {
	m.pool = make([]made, pooled)
	for i := range m.pool {
		text := m.appendEvent(nil, m.types[m.random.IntN(len(m.types))], "", absent)
		m.pool[i] = made{
			text: text,
			id:   bytes.Index(text, []byte(`,"id":"`)) + len(`,"id":"`),
			time: bytes.Index(text, []byte(`,"time":`)) + len(`,"time":`),
		}
	}
}

// putID writes a version 4 UUID over b.
func (m *Maker) putID(b []byte) {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], m.ids.Uint64()&^0xf000|0x4000)
	binary.BigEndian.PutUint64(id[8:], m.ids.Uint64()>>2|1<<63)
	b = b[:idLength]
	hex.Encode(b, id[:4])
	hex.Encode(b[9:], id[4:6])
	hex.Encode(b[14:], id[6:8])
	hex.Encode(b[19:], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
}

// absent: one in that many of what may be absent is.
const absent = 10

// appendEvent leaves out one in so many of the fields that may be absent; 0: none.
func (m *Maker) appendEvent(dst []byte, t *event.Type, prefix string, absent int) []byte {
	dst = append(dst, `{"event_type":"`...)
	dst = append(dst, t.Name...)
	dst = append(dst, '"')
	fields := t.Newest().Fields
	for i := range fields {
		f := &fields[i]
		value, given := m.scene[f.Name]
		if f.Nullable && (given && value == nil || !given && absent > 0 && m.random.IntN(absent) == 0) {
			continue
		}
		dst = append(dst, ',', '"')
		dst = append(dst, f.Name...)
		dst = append(dst, '"', ':')
		switch {
		case value != nil:
			dst = appendGiven(dst, value)
		case f.Name == "id":
			dst = append(dst, '"')
			dst = append(dst, prefix...)
			at := len(dst)
			dst = append(dst, make([]byte, idLength)...)
			m.putID(dst[at:])
			dst = append(dst, '"')
		case f.Name == "time" || f.Name == "send_time":
			dst = appendTime(dst, time.Now().Unix())
		case f.Name == "time_ms":
			dst = strconv.AppendInt(dst, time.Now().UnixMilli(), 10)
		default:
			dst = m.appendValue(dst, f)
		}
	}
	return append(dst, '}')
}

// appendGiven appends a value as JSON.
func appendGiven(dst []byte, value any) []byte {
	b, err := json.Marshal(value)
	if err != nil {
		panic("sample: a plain value did not encode: " + err.Error())
	}
	return append(dst, b...)
}

func appendTime(dst []byte, seconds int64) []byte {
	return fmt.Appendf(dst, "%*d", timeLength, seconds)
}

func (m *Maker) appendValue(dst []byte, f *event.Field) []byte {
	r := m.random
	switch f.Kind {
	case event.Int, event.Long:
		return strconv.AppendInt(dst, int64(r.IntN(100_000)), 10)
	case event.Boolean:
		return strconv.AppendBool(dst, r.IntN(2) == 0)
	case event.Float, event.Double:
		return strconv.AppendFloat(dst, float64(r.IntN(20_000))/100, 'f', -1, 32)
	case event.Strings:
		return append(dst, `["first","second"]`...)
	}
	return appendText(dst, m.text(f))
}

// appendText appends s as a JSON string; the texts made here need no other escapes.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func (m *Maker) text(f *event.Field) string {
	r, name := m.random, f.Name
	switch {
	case f.JSON:
		return fmt.Sprintf(`{"plan":%q,"amount":%d,"tags":["vip","natal"],"note":"rua\nSão João"}`, m.one("free", "pro", "team"), r.IntN(1000))
	case name == "user_id", name == "dispatch_id":
		return fmt.Sprintf("%016x%08x", r.Uint64(), r.Uint32())
	case name == "external_user_id":
		return "user-" + strconv.Itoa(r.IntN(1_000_000))
	case name == "email_address", name == "channel_identifier":
		return m.one("ana", "joão", "maría", "sam", "li.wei", "kofi") + strconv.Itoa(r.IntN(100_000)) + "@" + m.one("example.com", "mail.example", "correo.example")
	case strings.HasSuffix(name, "phone_number"):
		return "+55119" + strconv.Itoa(10_000_000+r.IntN(90_000_000))
	case name == "first_name":
		return m.one("Ana", "João", "María", "Sam", "Wei", "Kofi")
	case name == "last_name":
		return m.one("Souza", "García", "Núñez", "Smith", "Li", "Mensah")
	case name == "timezone":
		return m.one("America/Sao_Paulo", "America/New_York", "Europe/Madrid", "Asia/Tokyo")
	case name == "platform":
		return m.one("ios", "android", "web")
	case name == "device_model":
		return m.one("iPhone16,2", "SM-S928B", "Pixel 9", "Chrome")
	case name == "os_version":
		return m.one("17.6.1", "18.0", "14", "15")
	case name == "gender":
		return m.one("F", "M", "O", "N", "P")
	case name == "country":
		return m.one("BR", "ES", "MX", "US")
	case name == "language":
		return m.one("pt", "es", "en")
	case name == "dob":
		return fmt.Sprintf("%d-%02d-%02d", 1950+r.IntN(55), 1+r.IntN(12), 1+r.IntN(28))
	case name == "currency":
		return m.one("BRL", "USD", "EUR")
	case name == "subscription_status":
		return m.one("Subscribed", "Unsubscribed")
	case name == "machine_open":
		return "true"
	case name == "url":
		return "https://shop.example/p/" + strconv.Itoa(r.IntN(5000)) + "?utm_source=email&utm_campaign=" + m.one("spring", "verano", "natal")
	case name == "user_agent":
		return m.one("Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36")
	case name == "message_body":
		return m.one("Olá! Sua encomenda chegou.", "¿Dónde está mi pedido?", "Thanks, see you \"tomorrow\"")
	case name == "name", strings.HasSuffix(name, "_name"):
		return m.one("Welcome", "Abandoned cart", "Reactivación", "Promoção de verão", "Weekly digest") + " " + strconv.Itoa(r.IntN(40))
	case name == "app_group_id":
		return few(1, name, r)
	case name == "app_id":
		return few(3, name, r)
	case strings.HasPrefix(name, "campaign"), strings.HasPrefix(name, "canvas"), strings.HasPrefix(name, "message_variation"):
		return few(50, name, r)
	case strings.HasSuffix(name, "_id"):
		return uuid(r)
	}
	return m.one("alpha", "beta", "gamma", "delta") + "-" + strconv.Itoa(r.IntN(1000))
}

func (m *Maker) one(of ...string) string { return of[m.random.IntN(len(of))] }

// few gives one of n ids that are the same in every maker.
func few(n int, name string, r *rand.Rand) string {
	return uuid(rand.New(rand.NewPCG(uint64(len(name)), uint64(r.IntN(n)))))
}

func uuid(r *rand.Rand) string {
	h := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
