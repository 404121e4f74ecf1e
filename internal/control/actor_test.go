package control

import (
	"testing"
	"time"
)

func TestRights(t *testing.T) {
	seat := func(r Role, export bool) Actor {
		return Actor{Member: "m", Seats: map[uint32]Membership{7: {Workspace: 7, Role: r, ExportUserData: export}}}
	}
	reading := seat(Administrator, true)
	reading.ReadOnly = true
	inSession := seat(Editor, false)
	inSession.Session = "s"
	for name, row := range map[string]struct {
		actor Actor
		in    uint32
		want  string // one letter for each of Rights
	}{
		"nobody":                              {Actor{}, 7, "x......."},
		"a viewer":                            {seat(Viewer, false), 7, "xx.x...."},
		"a viewer who may export":             {seat(Viewer, true), 7, "xx.x..x."},
		"an editor":                           {seat(Editor, false), 7, "xx.xx..."},
		"an administrator":                    {seat(Administrator, false), 7, "xx.xxx.."},
		"an administrator elsewhere":          {seat(Administrator, true), 8, "xx......"},
		"an administrator's token that reads": {reading, 7, "xx.x..x."},
		"an editor in a session":              {inSession, 7, "xxxxx..."},
		"a role that does not exist":          {seat("owner", false), 7, "xx......"},
		"the installation's administrator":    {Actor{Member: "m", Installation: true}, 7, "xx.xxx.x"},
		"the command line":                    {CommandLine(), 7, "xx.xxx.x"},
	} {
		got := ""
		for _, r := range Rights() {
			if row.actor.May(r, row.in) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != row.want {
			t.Errorf("%s: may %s, want %s (of %v)", name, got, row.want, Rights())
		}
	}
}

func TestAnEntryShowsWhatDiffers(t *testing.T) {
	type thing struct {
		A int    `json:"a"`
		B string `json:"b"`
	}
	for name, row := range map[string]struct {
		before, after any
		secrets       []string
		b, a          string
	}{
		"made":               {nil, thing{1, "x"}, nil, "", `{"a":1,"b":"x"}`},
		"made with a secret": {nil, thing{1, "x"}, []string{"s"}, "", `{"a":1,"b":"x","s":"[redacted]"}`},
		"gone":               {thing{1, "x"}, nil, nil, `{"a":1,"b":"x"}`, ""},
		"changed":            {thing{1, "x"}, thing{2, "x"}, nil, `{"a":1}`, `{"a":2}`},
		"a new secret":       {thing{1, "x"}, thing{1, "x"}, []string{"s"}, `{"s":"[redacted]"}`, `{"s":"[redacted]"}`},
		"unchanged":          {thing{1, "x"}, thing{1, "x"}, nil, `{}`, `{}`},
		"nothing":            {nil, nil, nil, "", ""},
	} {
		_, written := EntryOf(logged(t.Context(), time.Time{}, "thing.edit", subject{}, row.before, row.after, row.secrets...))
		if written == (name == "unchanged") {
			t.Errorf("%s: an entry is written: %v", name, written)
		}
		if b, a := differences(row.before, row.after, row.secrets...); string(b) != row.b || string(a) != row.a {
			t.Errorf("%s: %s → %s, want %s → %s", name, b, a, row.b, row.a)
		}
	}
}
