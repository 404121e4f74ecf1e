package control

import (
	"bytes"
	"encoding/json"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Record is the content of a control record: something that holds for the events after it in the log.
type Record struct {
	Kind   RecordKind    `json:"kind"`
	Config *Config       `json:"config,omitempty"` // with RecordConfig
	Hour   eventlog.Hour `json:"hour,omitempty"`   // with RecordHour
}

// RecordKind says what a Record is. Readers pass over kinds that they do not know.
type RecordKind string

// The kinds.
const (
	RecordConfig RecordKind = "config" // a version of a connector's configuration
	RecordHour   RecordKind = "hour"   // no record after it has that hour or an earlier one
)

// LoggedRecord is a control record and where it stands.
type LoggedRecord struct {
	Offset    eventlog.Offset
	Workspace uint32
	Record    Record
}

// EncodeRecord gives r as it stands in the log: one JSON object.
func EncodeRecord(r Record) []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("control: a record of plain values did not encode: " + err.Error())
	}
	return b
}

// DecodeRecord reads what EncodeRecord gave. Of a kind that is not known here it gives the kind alone.
//
// Errors: corrupt. A configuration that says more than this version understands is refused as well: to pass over
// a rule would be to deliver in clear what it was to hide.
func DecodeRecord(b []byte) (Record, error) {
	const op = "read control record"
	var head struct {
		Kind   RecordKind      `json:"kind"`
		Config json.RawMessage `json:"config"`
		Hour   eventlog.Hour   `json:"hour"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Record{}, fault.New(fault.Corrupt, op, "it is not JSON").WithCause(err)
	}
	if head.Kind == "" {
		return Record{}, fault.New(fault.Corrupt, op, "it does not say of what kind it is")
	}
	switch head.Kind {
	case RecordConfig:
	case RecordHour:
		if head.Hour <= 0 {
			return Record{}, fault.New(fault.Corrupt, op, "a mark names no hour")
		}
		return Record{Kind: RecordHour, Hour: head.Hour}, nil
	default:
		return Record{Kind: head.Kind}, nil
	}
	c, err := DecodeConfig(head.Config)
	if err != nil {
		return Record{}, fault.Wrap(err, op)
	}
	return Record{Kind: RecordConfig, Config: &c}, nil
}

// EncodeConfig gives c as one JSON object, as it stands in control records and in SQL.
func EncodeConfig(c Config) []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("control: a configuration of plain values did not encode: " + err.Error())
	}
	return b
}

// DecodeConfig reads what EncodeConfig gave. Errors: corrupt, as for DecodeRecord.
func DecodeConfig(b []byte) (Config, error) {
	const op = "read configuration"
	var c Config
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, fault.New(fault.Corrupt, op, "this version does not understand it").WithCause(err).
			WithHint("If a newer version of Millrace wrote it, start that version.")
	}
	if !c.Connector.Valid() || c.Version < 1 || c.Destination.Number < 1 || c.Workspace == 0 || c.Number == 0 {
		return Config{}, fault.New(fault.Corrupt, op, "connector, number, workspace, version or destination is missing")
	}
	return c, nil
}
