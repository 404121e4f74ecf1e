package avrofile

import (
	"slices"
	"strconv"
)

// Meta is what a file says of itself, in the metadata of its object and again in its header, because metadata get
// lost when buckets are copied.
type Meta struct {
	Log       string // identity of the log: 32 hex digits
	Partition int    // of the log
	First     int64  // offset of the first event
	Last      int64  // offset of the last event
	Events    int    // at least 1
	Version   int    // of the connector's configuration
	Encoder   int    // the Encoder that made the file
	Hash      Hash   // of the raw records
	Target    uint32 // number of the connector that the test events are for; 0: not test events
}

// item is one line of Meta in text form.
type item struct{ name, value string }

// items gives the lines of m in the order in which headers have them. A target of zero is left out.
func (m Meta) items() []item {
	l := []item{
		{"log", m.Log},
		{"partition", strconv.Itoa(m.Partition)},
		{"first", strconv.FormatInt(m.First, 10)},
		{"last", strconv.FormatInt(m.Last, 10)},
		{"events", strconv.Itoa(m.Events)},
		{"version", strconv.Itoa(m.Version)},
		{"encoder", strconv.Itoa(m.Encoder)},
		{"hash", m.Hash.String()},
	}
	if m.Target != 0 {
		l = append(l, item{"target", strconv.FormatUint(uint64(m.Target), 10)})
	}
	return l
}

const (
	objectPrefix = "millrace-" // of keys in an object's metadata
	headerPrefix = "millrace." // of keys in a file's header
)

// Map is m as user metadata of an object; keys are in lower case and begin with millrace-.
func (m Meta) Map() map[string]string {
	l := m.items()
	r := make(map[string]string, len(l))
	for _, i := range l {
		r[objectPrefix+i.name] = i.value
	}
	return r
}

// ParseMeta reads what Map gives, among other keys. It is false if anything is missing or contradicts itself: then
// the object was not written by us, or its metadata were lost.
func ParseMeta(metadata map[string]string) (Meta, bool) {
	return parseMeta(func(name string) string { return metadata[objectPrefix+name] })
}

func parseMeta(get func(name string) string) (Meta, bool) {
	ok := true
	number := func(name string, bits int) int64 {
		n, err := strconv.ParseInt(get(name), 10, bits)
		if err != nil || n < 0 {
			ok = false
		}
		return n
	}
	m := Meta{
		Log:       get("log"),
		Partition: int(number("partition", strconv.IntSize)),
		First:     number("first", 64),
		Last:      number("last", 64),
		Events:    int(number("events", strconv.IntSize)),
		Version:   int(number("version", strconv.IntSize)),
		Encoder:   int(number("encoder", strconv.IntSize)),
	}
	if t := get("target"); t != "" {
		n, err := strconv.ParseUint(t, 10, 32)
		ok = ok && err == nil && n > 0
		m.Target = uint32(n)
	}
	hash, good := ParseHash(get("hash"))
	m.Hash = hash
	ok = ok && good && m.Log != "" && m.Events > 0 && m.First <= m.Last && int64(m.Events)-1 <= m.Last-m.First
	if !ok {
		return Meta{}, false
	}
	// One spelling only, so that what was parsed is what stands there.
	return m, !slices.ContainsFunc(m.items(), func(i item) bool { return get(i.name) != i.value })
}
