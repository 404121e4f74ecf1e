package event

import (
	"bytes"
	"encoding/binary"
)

// index knows what must be known about the bytes of strings, for a window of a text at a time, so that most strings
// need but one search for their closing quote: where the next backslash is, and which blocks of 64 bytes hold
// control characters or bytes outside ASCII.
//
// Its window follows the reading. It is not for concurrent use.
type index struct {
	text  []byte
	loose bool   // only the ends of strings matter, not what is in them
	base  int    // where the window begins
	end   int    // and ends
	slash int    // first backslash from the last position asked for, or end
	odd   uint64 // a bit for each block of the window
}

const (
	block  = 64
	window = 64 * block / 2 // enough for the usual event, little enough to look at for a small one

	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

func (x *index) reset(text []byte, loose bool) {
	*x = index{text: text, loose: loose}
}

// plain reports whether the string text[i:end] is one to be taken as it is. It may say no for one that could be.
// From one call to the next i rises, unless the window is moved.
func (x *index) plain(i, end int) bool {
	if end > x.end || i < x.base {
		x.move(i)
		if end > x.end {
			return false
		}
	}
	if x.slash < i {
		x.slash = x.findSlash(i)
	}
	first, last := uint(i-x.base)/block, uint(end-x.base)/block
	return x.slash >= end && x.odd>>first&(2<<(last-first)-1) == 0
}

func (x *index) findSlash(i int) int {
	if n := bytes.IndexByte(x.text[i:x.end], '\\'); n >= 0 {
		return i + n
	}
	return x.end
}

// move lets the window begin at i.
func (x *index) move(i int) {
	x.base, x.end = i, min(i+window, len(x.text))
	x.slash = x.findSlash(i)
	x.odd = 0
	if x.loose {
		return
	}
	rest := x.text[i:x.end]
	for k := 0; len(rest) > 0; k++ {
		var odd uint64
		if len(rest) >= block {
			odd = oddBlock((*[block]byte)(rest))
			rest = rest[block:]
		} else {
			for len(rest) >= 8 {
				odd |= oddWord(binary.LittleEndian.Uint64(rest))
				rest = rest[8:]
			}
			for _, c := range rest {
				odd |= oddWord(uint64(c) | ' '*(ones-1))
			}
			rest = nil
		}
		if odd&highs != 0 {
			x.odd |= 1 << k
		}
	}
}

// oddBlock has a high bit set if b holds a byte that is a control character or outside ASCII.
func oddBlock(b *[block]byte) uint64 {
	return oddWord(binary.LittleEndian.Uint64(b[0:])) | oddWord(binary.LittleEndian.Uint64(b[8:])) |
		oddWord(binary.LittleEndian.Uint64(b[16:])) | oddWord(binary.LittleEndian.Uint64(b[24:])) |
		oddWord(binary.LittleEndian.Uint64(b[32:])) | oddWord(binary.LittleEndian.Uint64(b[40:])) |
		oddWord(binary.LittleEndian.Uint64(b[48:])) | oddWord(binary.LittleEndian.Uint64(b[56:]))
}

// oddWord is the same for eight bytes: the subtraction borrows where a byte is below a space, and only a byte that
// does so can disturb the one above it.
func oddWord(w uint64) uint64 { return w | (w - ' '*ones) }
