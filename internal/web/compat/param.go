package compat

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// query is what the parameters of a request say, with their defaults.
type query struct {
	id         string         // of what the call is about: segment_id, campaign_id, event, product …
	send       string         // send_id
	app        string         // app_id; empty: all
	page       int            // from 0
	newest     bool           // sort_direction=desc: the newest first
	archived   bool           // include_archived
	editedFrom time.Time      // last_edit.time[gt]: changed after it; zero: whenever
	length     int            // of units; 0: not given
	hours      bool           // unit=hour
	zone       *time.Location // the workspace's
	ending     time.Time      // ending_at: now, if it is not given
	starting   time.Time      // starting_at; zero: not given
	byVariant  bool           // include_variant_breakdown
	byStep     bool           // include_step_breakdown
}

// param is one parameter of the address.
type param struct {
	name  string
	need  bool
	wants string // in words, for who sent something else
	take  func(q *query, text string) bool
}

// needed is p as one that has to be there.
func needed(p param) param {
	p.need = true
	return p
}

// text is a parameter that is any text, kept where to says.
func text(name string, to func(*query) *string) param {
	return param{name: name, wants: "a text", take: func(q *query, s string) bool {
		*to(q) = s
		return s != ""
	}}
}

// flag is a parameter that is true or false.
func flag(name string, to func(*query) *bool) param {
	return param{name: name, wants: "true or false", take: func(q *query, s string) bool {
		v, err := strconv.ParseBool(s)
		*to(q) = v
		return err == nil
	}}
}

// moment is a parameter that is a time; one that says no zone is in the workspace's.
func moment(name string, to func(*query) *time.Time) param {
	return param{name: name, wants: "a time such as 2026-11-22T10:00:00Z", take: func(q *query, s string) bool {
		for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05.999999999-0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
			if t, err := time.ParseInLocation(form, s, q.zone); err == nil {
				*to(q) = t
				return true
			}
		}
		return false
	}}
}

// about is the parameter that names what a call is about.
func about(name string) param { return needed(text(name, func(q *query) *string { return &q.id })) }

// length is of how many units a series is.
func length(most int) param {
	return param{name: "length", wants: fmt.Sprintf("a whole number from 1 to %d", most), take: func(q *query, s string) bool {
		n, err := strconv.Atoi(s)
		q.length = n
		return err == nil && n >= 1 && n <= most
	}}
}

// The parameters that several calls have.
var (
	page = param{name: "page", wants: "a whole number from 0 on", take: func(q *query, s string) bool {
		n, err := strconv.Atoi(s)
		q.page = n
		return err == nil && n >= 0 && n <= 1_000_000
	}}
	sortDirection = param{name: "sort_direction", wants: "asc or desc", take: func(q *query, s string) bool {
		q.newest = s == "desc"
		return q.newest || s == "asc"
	}}
	endingAt = moment("ending_at", func(q *query) *time.Time { return &q.ending })
)

// read reads the parameters of an address; those that a call does not have are passed over, as the vendor does. Errors:
// invalid, with every problem. now is in the workspace's zone.
func read(from url.Values, params []param, now time.Time) (query, error) {
	q := query{ending: now, zone: now.Location()}
	var problems []fault.Problem
	for _, p := range params {
		s := from.Get(p.name)
		switch {
		case s == "" && p.need:
			problems = append(problems, fault.Problem{Field: p.name, Code: "required", Message: "This is needed: " + p.wants + "."})
		case s != "" && !p.take(&q, s):
			problems = append(problems, fault.Problem{Field: p.name, Code: "invalid", Message: "This has to be " + p.wants + "."})
		}
	}
	if len(problems) > 0 {
		p := problems[0]
		e := fault.New(fault.Invalid, "", "%s: %s", p.Field, p.Message)
		e.Fields = problems
		return q, e
	}
	return q, nil
}

// paged gives the part of a list that a page holds, which may be empty.
func paged[T any](q *request, all []T, size int) []T {
	from := min(q.page*size, len(all))
	return append([]T{}, all[from:min(from+size, len(all))]...)
}
