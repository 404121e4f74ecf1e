package avrofile

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// KindS3 is the Kind of files in Amazon S3 and stores that speak like it.
const KindS3 = "S3"

// Name says what a file holds; Key is the object key that follows from it.
//
// Folder has no slash at its ends and may be empty (the bucket's root). Cluster and Zone are not empty and hold no
// slash; Connector and Kind hold neither slash nor dot, EventType and Connector no plus sign. Numbers are not
// negative. Key of anything else cannot be parsed back; whoever takes in such texts refuses them.
type Name struct {
	Folder    string
	Cluster   string
	Kind      string // KindS3
	Connector string
	EventType string
	Hour      int32 // of acceptance: hours since 1970-01-01T00 UTC
	SchemaID  uint32
	Zone      string
	Partition int   // of the log, plus 1000 for each time that the key was taken by a stranger
	First     int64 // offset of the first event
	Target    uint32
}

const (
	keyHour = "2006-01-02-15"
	// Source: the vendor's file names; ten digits are the width that readers have seen.
	offsetDigits = 10
)

// Key is the object key:
//
//	FOLDER/dataexport.CLUSTER.KIND.integration.CONNECTOR/event_type=TYPE/date=YYYY-MM-DD-HH/SCHEMA/ZONE/
//	dataexport.CLUSTER.KIND.integration.CONNECTOR+PARTITION+OFFSET.avro
//
// The offset has at least ten digits, so that a listing, which is in byte order, gives the files of a stream in
// the order of their events. From offset 10,000,000,000 on it has more digits, and such keys sort among the
// shorter ones: readers of listings order by the parsed offset, never by the text.
//
// Files of test events end in +test-TARGET.avro instead of .avro. They stand in the same folders, so that they
// take the way that they are to test, and can be told apart (and left out, by *+test-*) by name alone; what
// depends on the folders, as Hive-style partitions do, sees nothing of it.
func (n Name) Key() string {
	b := n.appendStreamPrefix(make([]byte, 0, 256))
	b = n.appendConnector(b)
	b = append(b, '+')
	b = strconv.AppendInt(b, int64(n.Partition), 10)
	b = append(b, '+')
	b = fmt.Appendf(b, "%0*d", offsetDigits, n.First)
	if n.Target != 0 {
		b = append(b, "+test-"...)
		b = strconv.AppendUint(b, uint64(n.Target), 10)
	}
	return string(append(b, ".avro"...))
}

// StreamPrefix is what the keys of all files of the stream begin with, up to and including the zone's slash. The
// files of test events begin with it too.
func (n Name) StreamPrefix() string { return string(n.appendStreamPrefix(nil)) }

// ConnectorPrefix is what the keys of all files of a connector in a folder begin with, slash included.
func ConnectorPrefix(folder, cluster, connector string) string {
	n := Name{Folder: folder, Cluster: cluster, Kind: KindS3, Connector: connector}
	return string(n.appendConnectorPrefix(nil))
}

func (n Name) appendConnector(b []byte) []byte {
	b = append(b, "dataexport."...)
	b = append(b, n.Cluster...)
	b = append(b, '.')
	b = append(b, n.Kind...)
	b = append(b, ".integration."...)
	return append(b, n.Connector...)
}

func (n Name) appendConnectorPrefix(b []byte) []byte {
	if n.Folder != "" {
		b = append(b, n.Folder...)
		b = append(b, '/')
	}
	b = n.appendConnector(b)
	return append(b, '/')
}

func (n Name) appendStreamPrefix(b []byte) []byte {
	b = n.appendConnectorPrefix(b)
	b = append(b, "event_type="...)
	b = append(b, n.EventType...)
	b = append(b, "/date="...)
	b = time.Unix(int64(n.Hour)*3600, 0).UTC().AppendFormat(b, keyHour)
	b = append(b, '/')
	b = strconv.AppendUint(b, uint64(n.SchemaID), 10)
	b = append(b, '/')
	b = append(b, n.Zone...)
	return append(b, '/')
}

// ParseKey gives the Name of which key is the Key, for files of any connector in folder; false for every other key.
func ParseKey(folder, key string) (Name, bool) {
	n := Name{Folder: folder}
	rest := key
	if folder != "" {
		var ok bool
		if rest, ok = strings.CutPrefix(key, folder+"/"); !ok {
			return Name{}, false
		}
	}
	p := strings.Split(rest, "/")
	if len(p) != 6 {
		return Name{}, false
	}
	connector, eventType, date, schema, zone, file := p[0], p[1], p[2], p[3], p[4], p[5]

	s, ok := strings.CutPrefix(connector, "dataexport.")
	if !ok {
		return Name{}, false
	}
	i := strings.LastIndex(s, ".integration.")
	if i < 0 {
		return Name{}, false
	}
	s, n.Connector = s[:i], s[i+len(".integration."):]
	if i = strings.LastIndexByte(s, '.'); i < 0 {
		return Name{}, false
	}
	n.Cluster, n.Kind, n.Zone = s[:i], s[i+1:], zone
	if n.EventType, ok = strings.CutPrefix(eventType, "event_type="); !ok {
		return Name{}, false
	}
	if date, ok = strings.CutPrefix(date, "date="); !ok {
		return Name{}, false
	}
	hour, err := time.Parse(keyHour, date)
	if err != nil {
		return Name{}, false
	}
	n.Hour = int32(hour.Unix() / 3600)
	id, err := strconv.ParseUint(schema, 10, 32)
	if err != nil {
		return Name{}, false
	}
	n.SchemaID = uint32(id)

	if s, ok = strings.CutPrefix(file, connector+"+"); !ok {
		return Name{}, false
	}
	if s, ok = strings.CutSuffix(s, ".avro"); !ok {
		return Name{}, false
	}
	q := strings.Split(s, "+")
	if len(q) < 2 || len(q) > 3 {
		return Name{}, false
	}
	if n.Partition, err = strconv.Atoi(q[0]); err != nil {
		return Name{}, false
	}
	if n.First, err = strconv.ParseInt(q[1], 10, 64); err != nil {
		return Name{}, false
	}
	if len(q) == 3 {
		target, ok := strings.CutPrefix(q[2], "test-")
		if !ok {
			return Name{}, false
		}
		t, err := strconv.ParseUint(target, 10, 32)
		if err != nil {
			return Name{}, false
		}
		n.Target = uint32(t)
	}
	if n.Cluster == "" || n.Kind == "" || n.Connector == "" || n.EventType == "" || n.Zone == "" || n.Partition < 0 || n.First < 0 ||
		n.Key() != key { // leading zeros, signs, dates like 24 o'clock: one spelling only
		return Name{}, false
	}
	return n, true
}
