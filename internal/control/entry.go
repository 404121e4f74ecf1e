package control

import (
	"bytes"
	"context"
	"encoding/json"
	"time"
)

// Entry is a line of the log of changes: who changed what, and what it was before. It is written in the transaction of
// the change itself, so there is none without the other.
type Entry struct {
	ID        int64  // 0: new
	Workspace uint32 // 0: of the installation
	At        time.Time

	Member  MemberID // empty: not a person
	Actor   string   // as Actor.Name
	Via     string
	Address string
	Request string

	Action      string // what was done, "connector.edit"; the part before the dot is the kind of thing
	SubjectID   string // of the thing, as text
	SubjectName string // as it is called now
	// Objects of the fields that differ. Before is nil for what is made, After for what is gone. Secrets are redacted;
	// that one was changed shows as a field with "[redacted]" on both sides.
	Before, After json.RawMessage
}

// EntryFilter chooses entries. Fields that are empty choose all.
type EntryFilter struct {
	Workspace uint32
	All       bool   // of all workspaces and of the installation; else those of Workspace, 0 being the installation
	Kind      string // the part of Action before the dot
	SubjectID string
	Member    MemberID
	From      time.Time // entries of this moment and later
	Until     time.Time // entries before it
}

type entryKey struct{}

// WithEntry has the one store call that is given ctx write e in its transaction.
func WithEntry(ctx context.Context, e Entry) context.Context {
	return context.WithValue(ctx, entryKey{}, &e)
}

// NameEntry says which thing the entry is about that the transaction under ctx has to write, if there is one: for what is
// given its id by the transaction itself. For store.
func NameEntry(ctx context.Context, id string) {
	if e, ok := ctx.Value(entryKey{}).(*Entry); ok {
		e.SubjectID = id
	}
}

// EntryOf gives the entry that the transaction under ctx has to write, if there is one. For store.
func EntryOf(ctx context.Context) (Entry, bool) {
	if e, ok := ctx.Value(entryKey{}).(*Entry); ok {
		return *e, true
	}
	return Entry{}, false
}

// subject is the thing that an action changes.
type subject struct {
	workspace uint32
	id, name  string
}

// logged gives a context for the store call that carries action out: with it goes the entry that says what changed.
// before and after are the thing's state as JSON shows it, without secrets; nil for none. secrets are the names of those
// that are other ones now. Where nothing differs there is no entry.
func logged(ctx context.Context, now time.Time, action string, s subject, before, after any, secrets ...string) context.Context {
	a := ActorOf(ctx)
	e := Entry{
		Workspace: s.workspace, At: now, Member: a.Member, Actor: a.Name, Via: a.Via, Address: a.Address, Request: a.Request,
		Action: action, SubjectID: s.id, SubjectName: s.name,
	}
	e.Before, e.After = differences(before, after, secrets...)
	if string(e.Before) == "{}" && string(e.After) == "{}" {
		return ctx
	}
	return WithEntry(ctx, e)
}

// RevokedBy gives the line about an invitation that ends by something else that the actor of ctx does: a right that its
// maker loses, or another invitation in its place. For store, which knows in the transaction which they are.
func RevokedBy(ctx context.Context, now time.Time, t Ticket) Entry {
	e, _ := EntryOf(logged(ctx, now, "invitation.revoke", subject{t.Workspace, string(t.ID), t.Email}, viewTicket(t), nil)) // a ticket has fields
	return e
}

// differences gives, of two things that JSON shows as objects, the fields in which they differ. Of one thing alone it
// gives all fields. Of secrets, it says that they differ.
func differences(before, after any, secrets ...string) (b, a json.RawMessage) {
	was, is := object(before), object(after)
	if was != nil && is != nil {
		for k, v := range was {
			if o, ok := is[k]; ok && bytes.Equal(v, o) {
				delete(was, k)
				delete(is, k)
			}
		}
	}
	for _, side := range []map[string]json.RawMessage{was, is} {
		if side != nil {
			for _, name := range secrets {
				side[name] = json.RawMessage(`"[redacted]"`)
			}
		}
	}
	return encodeObject(was), encodeObject(is)
}

func object(v any) map[string]json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic("control: a noun did not encode: " + err.Error())
	}
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &out); err != nil {
		panic("control: a noun is not an object: " + err.Error())
	}
	return out
}

func encodeObject(m map[string]json.RawMessage) json.RawMessage {
	if m == nil {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic("control: an object did not encode: " + err.Error())
	}
	return b
}
