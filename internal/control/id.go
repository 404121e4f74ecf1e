package control

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
)

// NewConnectorID makes an identity: 24 hex digits, 96 random bits.
func NewConnectorID() ConnectorID { return ConnectorID(newID()) }

// NewKeyID makes an identity: 24 hex digits, 96 random bits.
func NewKeyID() KeyID { return KeyID(newID()) }

// NewMemberID, NewSessionID, NewTokenID and NewTicketID make identities of the same form.
func NewMemberID() MemberID   { return MemberID(newID()) }
func NewSessionID() SessionID { return SessionID(newID()) }
func NewTokenID() TokenID     { return TokenID(newID()) }
func NewTicketID() TicketID   { return TicketID(newID()) }

func newID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return hex.EncodeToString(b[:])
}

// NewNumber draws the number of a workspace or connector: 1 to 2³¹−1. The store refuses one that is taken.
func NewNumber() uint32 {
	for {
		var b [4]byte
		rand.Read(b[:])
		if n := binary.LittleEndian.Uint32(b[:]) &^ (1 << 31); n != 0 {
			return n
		}
	}
}

// Valid reports whether id has the form of an identity.
func (id ConnectorID) Valid() bool { return validID(string(id)) }

// Valid reports whether id has the form of an identity.
func (id MemberID) Valid() bool { return validID(string(id)) }

func validID(id string) bool {
	if len(id) != 24 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
