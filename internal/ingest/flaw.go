package ingest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"

	"github.com/millrace/millrace/internal/event"
)

// flaw tells what keeps valid JSON from meaning one thing only that databases hold: a name that an object has twice, half of
// a surrogate pair, the character U+0000. It looks at the outermost levels, and at what is in them only so far.
func flaw(raw []byte, levels int) *problem {
	var open []map[string]bool // the names of each object around; of an array nil
	var field string           // the outermost name
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{':
			open = append(open, map[string]bool{})
		case '[':
			open = append(open, nil)
		case '}', ']':
			open = open[:len(open)-1]
		case '"':
			from := i
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			if len(open) > levels {
				continue
			}
			s := raw[from : i+1]
			isName := bytes.HasPrefix(bytes.TrimLeft(raw[i+1:], " \t\r\n"), []byte(":"))
			if code, is := unheld(s); is != "" {
				if isName && len(open) == 1 {
					return wrong("", code, "a name has "+is)
				}
				if field == "" {
					return wrong("", code, "a text has "+is)
				}
				return wrong(field, code, "'"+field+"' has "+is)
			}
			if !isName {
				continue
			}
			var name string
			_ = json.Unmarshal(s, &name) // it is a text of valid JSON
			if len(open) == 1 {
				field = name
			}
			names := open[len(open)-1]
			if names[name] {
				return wrong(field, event.CodeDuplicateField, "'"+name+"' is there twice")
			}
			names[name] = true
		}
	}
	return nil
}

// unheld tells what a JSON text, with its quotes, holds that no text can; empty: nothing.
func unheld(s []byte) (code, is string) {
	const half = "half of a surrogate pair, which is no character"
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		r := escaped(s[i-1:])
		if r < 0 {
			continue
		}
		i += 4
		switch {
		case r == 0:
			return event.CodeOutOfRange, "the character U+0000, which cannot be stored"
		case utf16.IsSurrogate(r):
			if utf16.DecodeRune(r, escaped(s[i+1:])) == '\uFFFD' {
				return event.CodeInvalidEscape, half
			}
			i += 6
		}
	}
	return "", ""
}

// escaped gives what the \u at the front of s stands for; below 0: there is none.
func escaped(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 32)
	if err != nil {
		return -1
	}
	return rune(n)
}
