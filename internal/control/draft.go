package control

import "time"

// Draft is a connector that somebody has begun to describe. Nothing of it is checked, and nothing is delivered by it.
type Draft struct {
	ID        ConnectorID // the identity that the connector will have
	Workspace uint32
	Edit      Edit
	CreatedAt time.Time
	UpdatedAt time.Time // later than that of the save before
	Rev       int64     // of the save that is read, or that is changed: its UpdatedAt in milliseconds; 0: of none
}

// Name is the draft's name; empty if it has none yet.
func (d Draft) Name() string { return or(d.Edit.Name) }
