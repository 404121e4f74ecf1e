package event

import (
	"encoding/binary"
	"unicode/utf8"
)

// appendUnescaped appends a JSON string's content with its escapes resolved; s has been through scanString and has
// no bad escape. Runs without escapes are copied whole.
func appendUnescaped(dst, s []byte) []byte {
	for {
		i := indexEscape(s)
		dst = append(dst, s[:i]...)
		if i == len(s) {
			return dst
		}
		n := 2
		switch c := s[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(s[i+2:])
			n = 6
			if r >= 0xD800 && r < 0xE000 {
				r = (r-0xD800)<<10 + (hex4(s[i+8:]) - 0xDC00) + 0x10000
				n = 12
			}
			dst = utf8.AppendRune(dst, r)
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
		s = s[i+n:]
	}
}

// indexEscape gives the position of the first backslash, or len(s). Escapes in JSON text stand close together,
// where a call of bytes.IndexByte costs more than it saves.
func indexEscape(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i:]) ^ '\\'*ones
		if (x-ones)&^x&highs != 0 {
			break
		}
	}
	for i < len(s) && s[i] != '\\' {
		i++
	}
	return i
}

// appendCompact appends JSON text without the white space between its tokens; b is one whole value that has been
// through scanNested.
func appendCompact(dst, b []byte) []byte {
	from := 0
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			i, _ = scanString(b, i+1, true)
			i++
		case c <= ' ':
			dst = append(dst, b[from:i]...)
			i++
			from = i
		default:
			i++
		}
	}
	return append(dst, b[from:]...)
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			if r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		i++
		from = i
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
