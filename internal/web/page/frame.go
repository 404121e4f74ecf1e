// Package page is the dashboard: one struct and one template a page, made on the server, in the reader's language.
//
// A page is a function that reads what it shows, fills its struct and shows it; a form is sent to the page that has it,
// and what was wrong is shown beside its field with the rest as typed. Pages work without script: static/page.js saves
// steps and nothing depends on it. Components (component.go) are what pages are made of; how they look is
// static/style.css.
//
// Start reading at frame, then at components.go, which shows every component.
package page

// frame is what stands around a page.
type frame struct {
	Title   string
	Window  string // before it, in the title of the window; empty: the tab's name
	Alone   bool   // without rail and top: for who is not signed in
	Refresh int    // seconds until a browser without script asks again; 0: it does not
	Live    int    // seconds after which the page's numbers are asked for again; 0: they stay

	Rail       []railItem
	Workspaces *menu
	Inbox      *inbox
	Person     menu
	Language   menu

	Crumbs  []crumb
	Says    *says  // how things are, in one sentence
	SaysTo  string // where the sentence leads; empty: nowhere
	Actions []button
	More    *menu
	Tabs    []tab
	Told    []banner // what has just come of something
}

// Document is the title of the window. What tells this page from the others about the same thing comes first.
func (f frame) Document() string {
	if f.Window != "" {
		return f.Window + " · " + f.Title
	}
	for i, t := range f.Tabs {
		if t.Here && i > 0 && t.Text != f.Title {
			return t.Text + " · " + f.Title
		}
	}
	return f.Title
}

type railItem struct {
	Text, Href, Icon string
	Here             bool
}

// inbox is the bell that leads to the notices.
type inbox struct {
	Text, Href string
	Number     string // how many are unread; empty: none
	Here       bool
}

type crumb struct{ Text, Href string }

// says is the sentence that a page begins with.
type says struct {
	Tone tone
	Icon string
	Text string
}
