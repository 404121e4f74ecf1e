// Package text holds every sentence a person reads, in English, Portuguese and Spanish.
//
// A sentence has a key and stands in three catalogues, one a language, in data files (catalogue/en.json and
// page.en.json, and so on), with places {like_this} for what it names. A sentence that counts has one form for each plural of the
// language. Numbers, sizes, durations and times are written as readers of the language write them.
//
// Guaranteed, by tests that read the sources of the whole program: each key that code names is in each catalogue,
// each key in a catalogue is named by code, all languages have the same places, and where code carries an English
// sentence with its key, it is the catalogue's. The terms are chosen once: GLOSSARY.md.
//
// What T gives is plain text: whoever puts it into HTML escapes it. Everything here is immutable and safe for
// concurrent use. Start reading at T.
package text

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/millrace/millrace/internal/fault"
)

// Language is one of those that people are addressed in. The zero value is read as English.
type Language string

// The languages, by their BCP 47 tags.
const (
	English    Language = "en"
	Portuguese Language = "pt-BR"
	Spanish    Language = "es"
)

// Languages gives all of them, English first.
func Languages() []Language { return []Language{English, Portuguese, Spanish} }

// Parse gives the language with the tag s. Nothing but the tags of Languages is taken.
func Parse(s string) (Language, bool) {
	for _, l := range Languages() {
		if string(l) == s {
			return l, true
		}
	}
	return "", false
}

var matcher = language.NewMatcher([]language.Tag{language.English, language.BrazilianPortuguese, language.Spanish})

// Match gives the language that serves a reader best, by the value of an Accept-Language header. What cannot be
// read, and whoever speaks none of the languages, gets English.
func Match(acceptLanguage string) Language {
	// The parser allocates by the length of what it is given; no browser sends more than this.
	if len(acceptLanguage) > 1024 {
		return English
	}
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		return English
	}
	_, i, confidence := matcher.Match(tags...)
	if confidence == language.No {
		return English
	}
	return Languages()[i]
}

// Params fills the places of a sentence by name. Whole numbers are written with the language's separators, Bytes and
// time.Duration in its words, everything else as fmt.Sprint writes it; times are strings made by Language.Time,
// because only the caller knows the reader's zone.
type Params map[string]any

// Bytes is a size, for Params.
type Bytes int64

// T gives the sentence with that key in l, its places filled; places that params does not name stay as they are.
// What is filled in is not searched for places again.
//
// A key that no catalogue has gives the key itself: a test keeps that from happening, and a page with a strange
// word on it serves its reader better than none.
func T(l Language, key string, params Params) string {
	l = l.known()
	e, ok := catalogues[l][key]
	if !ok {
		return key
	}
	return l.fill(e.choose(l, params), params)
}

// Has reports whether there is a sentence with that key.
func Has(key string) bool {
	_, ok := catalogues[English][key]
	return ok
}

// Say gives m in l: the catalogue's sentence if m has a key that is there, else m's own English text.
func Say(l Language, m fault.Message, params fault.Params) string {
	if m.Key != "" && Has(m.Key) {
		return T(l, m.Key, Params(params))
	}
	return l.known().fill(m.Text, Params(params))
}

// Problem gives what is wrong with a field in l: the catalogue's sentence if p has a key that is there, else p's own.
func Problem(l Language, p fault.Problem) string {
	if p.Key != "" && Has(p.Key) {
		return T(l, p.Key, Params(p.Params))
	}
	return p.Message
}

func (l Language) known() Language {
	if _, ok := catalogues[l]; ok {
		return l
	}
	return English
}

// fill puts params into the places of s, in one pass.
func (l Language) fill(s string, params Params) string {
	if len(params) == 0 || !strings.Contains(s, "{") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "{")
		if !ok {
			b.WriteString(before)
			return b.String()
		}
		name, after, ok := strings.Cut(rest, "}")
		v, known := params[name]
		if !ok || !known {
			b.WriteString(before + "{")
			s = rest
			continue
		}
		value := l.value(v)
		if l == Spanish {
			before = bySound(before, value)
		}
		b.WriteString(before)
		b.WriteString(value)
		s = after
	}
}

func (l Language) value(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Bytes:
		return l.Bytes(int64(v))
	case time.Duration:
		return l.Duration(v)
	}
	if n, ok := whole(v); ok {
		return l.Number(n)
	}
	return fmt.Sprint(v)
}

// whole gives the whole number that v is.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case uint32:
		return int64(v), true
	case float64: // as JSON gives back what was stored
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	return 0, false
}
