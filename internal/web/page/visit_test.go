package page

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
)

func TestAWorkspaceIsTheSameByItsName(t *testing.T) {
	w := newWorld(t)
	w.installs()
	// Ada administers the installation, and views globex.
	root := control.WithActor(t.Context(), control.CommandLine())
	globex, err := w.plane.CreateWorkspace(root, control.Workspace{Name: "globex"})
	must(t, err)
	_, _, err = w.people.AddMember(root, control.AddMember{Email: "ada@acme.example", Workspace: globex.Number, Role: control.Viewer})
	must(t, err)
	b := w.signedIn("en")
	b.get("/w/globex/currents").lacks(t, "/currents/new")
	b.get("/w/acme/currents").has(t, http.StatusOK, w.at("/currents/new"))
	w.joined(control.Viewer, "en").get("/w/acme").has(t, http.StatusNotFound)
}

// What an address names is there or is not, whatever it is called: a part that is only dots is no way up in the API's.
func TestANameOfDotsIsLikeAnyThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.installs()
	_, _, err := w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "ada@acme.example", Workspace: w.acme.Number, ExportUserData: true})
	must(t, err)
	id := w.launch("warehouse")
	b := w.signedIn("en")
	part := regexp.MustCompile(`\{\w+\}`)
	asked := 0
	for _, row := range (&pages{}).table() {
		method, path, _ := strings.Cut(row.pattern, " ")
		var form url.Values
		if method == http.MethodPost {
			form = url.Values{}
		}
		for i := range part.FindAllString(path, -1) {
			status := func(name string) int {
				n := -1
				return b.ask(method, part.ReplaceAllStringFunc(path, func(p string) string {
					n++
					switch {
					case n == i:
						return name
					case p == "{workspace}":
						return fmt.Sprint(w.acme.Number)
					}
					return id
				}), form).status
			}
			want := status("none")
			for _, dots := range []string{"%2e", "%2E%2e"} {
				asked++
				if got := status(dots); got != want || got >= 500 {
					t.Errorf("%s, part %d as %s: status %d, want %d", row.pattern, i, dots, got, want)
				}
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d addresses were asked", asked)
	}
}
