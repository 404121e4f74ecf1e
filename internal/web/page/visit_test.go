package page

import (
	"net/http"
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
