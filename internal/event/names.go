package event

import "encoding/binary"

// names finds a short string among a fixed set: open addressing over a hash of length, first and last bytes.
// It takes bytes as they stand in the input, so that nothing is allocated, and is several times as quick as a map
// for the few dozen names that a schema has.
type names struct {
	mask  uint32
	slots []nameSlot
}

type nameSlot struct {
	hash uint32
	at   uint16 // index + 1; 0: empty
	name string
}

func newNames(all []string) names {
	size := 4
	for size < 2*len(all) {
		size *= 2
	}
	n := names{mask: uint32(size - 1), slots: make([]nameSlot, size)}
	for i, s := range all {
		h := hashName([]byte(s))
		k := h & n.mask
		for n.slots[k].at != 0 {
			k = (k + 1) & n.mask
		}
		n.slots[k] = nameSlot{h, uint16(i + 1), s}
	}
	return n
}

// find gives the index of b in the list that the set was made from, or -1.
func (n *names) find(b []byte) int {
	h := hashName(b)
	for k := h & n.mask; ; k = (k + 1) & n.mask {
		s := &n.slots[k]
		if s.at == 0 {
			return -1
		}
		if s.hash == h && s.name == string(b) {
			return int(s.at) - 1
		}
	}
}

func hashName(b []byte) uint32 {
	var x, y uint64
	switch n := len(b); {
	case n >= 8:
		x, y = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
		if n > 16 { // types differ in their middle: users.messages.X.Send
			x += binary.LittleEndian.Uint64(b[n-16:]) * 0xff51afd7ed558ccd
		}
	case n >= 4:
		x, y = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		x, y = uint64(b[0]), uint64(b[n-1])<<8|uint64(b[n/2])
	}
	h := (x ^ uint64(len(b))*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>32 ^ y) * 0x94d049bb133111eb
	return uint32(h >> 32)
}

// all gives the names, in no order.
func (n *names) all() []string {
	var all []string
	for _, s := range n.slots {
		if s.at != 0 {
			all = append(all, s.name)
		}
	}
	return all
}
