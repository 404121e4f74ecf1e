package page

import (
	"html/template"
	"time"
)

// The components: one struct and one template of the same name in template/component.html each, and one part of the
// style sheet. Pages are put together from them; all are shown at /_components in development. Texts in them are in the
// reader's language already.

// tone is what a thing's state means. It shows as a colour and an icon, never as a colour alone.
type tone string

const (
	plain tone = ""
	good  tone = "good"
	warn  tone = "warn"
	bad   tone = "bad"
	info  tone = "info"
)

// button is a link that looks like one if it has an address, else a button of its form.
type button struct {
	Text     string
	Kind     string // primary, danger, quiet; empty: plain
	Icon     string
	Href     string
	Name     string // of the form's field
	Value    string
	Action   string // address of the form, where it is not the form's own
	Small    bool
	Disabled bool
	Post     bool // a form of its own, sent to Href

	Test string // id of where the check that it leads to is shown, beside the form
}

// field is a labelled input. What was typed stands in Value, also where it is wrong.
type field struct {
	Name         string
	Label        string
	Hint         string
	Help         *help
	Type         string // of the input; empty: text
	Value        string
	Error        string
	Placeholder  string
	Autocomplete string
	Mono         bool
	Required     bool
	Lines        int      // over 1: a text area
	Options      []option // a select
	List         []string // values to choose from while typing; others may be typed too
	Zone         string   // text of a button that takes the browser's time zone, with the place {zone}
	Live         string   // id of what is to be made anew while this is typed
	ListID       string   // of a datalist that several fields have
	When         string   // as of part
}

// option is one of a select.
type option struct {
	Value, Text string
	Chosen      bool
}

// help is what to do on the other side, opened without leaving the form.
type help struct {
	Title string
	Body  template.HTML // made by this program from the catalogue
}

// choices are a few ways of which one is chosen.
type choices struct {
	Name    string
	Legend  string
	Hint    string
	Help    *help
	Error   string
	Options []choice
}

// choice is one of them.
type choice struct {
	Value, Title, Text string
	Chosen             bool
}

// check is a single yes or no; with Switch it looks like a switch.
type check struct {
	Name, Value, Label, Hint string
	On                       bool
	Switch                   bool
	Mono                     bool
	Error                    string
}

// tree is a list of check boxes in groups, with search. How many are on is said by script alone: without it, that would be
// wrong with the next click.
type tree struct {
	Name   string
	Legend string
	Search string // label of the search
	Groups []treeGroup
	Error  string
}

// treeGroup is a group of check boxes; Name and Value are those of the group as a whole.
type treeGroup struct {
	Label, Name, Value string
	All                bool
	Open               bool
	Items              []check
}

// table is rows of cells. On narrow screens each row becomes a stack with the columns' names as labels.
type table struct {
	Caption string
	Dense   bool // a stack begins with its link, and has its other cells beside each other
	Columns []column
	Rows    []row
	Empty   *empty
	Next    string // address of the next page; empty: this is the last
	First   string // address of the first page; empty: this is it
}

type column struct {
	Text   string
	Number bool
}

type row struct{ Cells []cell }

// cell is text, a number, a key, a link, a state, a time, or whatever Body holds.
type cell struct {
	Text  string
	Href  string
	Mono  bool
	Whole bool   // with Mono: not broken where there is room
	Small string // a second line
	Pill  *pill
	Time  *moment
	Spark *spark
	Bar   *progress
	Body  template.HTML
	Code  *line

	Button *button

	Differences []difference
}

// empty is what stands in place of a table without rows: what will be here, and how to make the first.
type empty struct {
	Title, Text string
	Action      *button
}

// pill is a state in a word.
type pill struct {
	Tone tone
	Icon string
	Text string
}

// code is a block to be pasted elsewhere, with a button that copies it.
type code struct {
	ID, Label, Text string
}

// feed is news, the newest first.
type feed struct {
	Items []feedItem
	Empty *empty
	First string // as in table
	Next  string
}

// feedItem is one of them.
type feedItem struct {
	Tone       tone
	Icon       string
	Title      string
	Texts      []string
	At         *moment
	New        string // says that it was not read; empty: it was
	Link, Href string // to what it is about; empty: none
	Details    string // as in banner
}

// download is a button that keeps a small file, which the page holds itself.
type download struct {
	Text string
	Name string       // of the file
	Href template.URL // data: made by this program
}

// formatted is the same code in several formats, of which the chosen one shows.
type formatted struct {
	Name, Legend string
	Items        []formattedItem
}

type formattedItem struct {
	Value  string
	Chosen bool
	Code   code
}

// line is a short value to be pasted elsewhere.
type line struct {
	ID, Label, Text string
}

// step is one thing that was tried.
type step struct {
	State  string // passed, failed, trying, waiting, skipped
	Title  string
	Text   string
	Mono   string // what it is called outside
	Hint   string
	Said   string     // what the other side said, in its own words
	Left   string     // for how long it is tried again
	Remedy *formatted // what would mend it
}

// transforms are rows in which a field is named and what becomes of it.
type transforms struct {
	ID           string // of the part that is made anew when a row comes or goes
	Legend, Hint string
	Help         *help
	Field        string   // label of the name
	Action       string   // label of what becomes of it
	Names        []string // to choose from
	Add, Drop    string   // buttons
	Rows         []transformRow
}

type transformRow struct {
	Field   string
	Actions []option
	Error   string
}

// conditions are rows in groups that say who is meant, with how many these are beside them.
type conditions struct {
	Legend, Hint string
	Join         *field // how groups are joined; nil: there are not several
	Groups       []conditionGroup
	Add          string // button of another group
	Refresh      string // for who has no script
	Lists        []datalist
	Count        headcount
	Error        string // of the whole
}

// conditionGroup is rows that are joined.
type conditionGroup struct {
	Legend string
	Join   *field // nil: there are not several rows
	Rows   []conditionRow
	Add    string // button of another row
	Name   string // of its place, in the value of that button
}

// conditionRow is what is asked of a person: fields beside each other.
type conditionRow struct {
	ID, Group string
	Label     string
	Fields    []field
	Drop      string // button that takes it away
	Error     string
	Fresh     bool // it has just come: whoever added it goes on there
}

// datalist is what can be chosen for fields that name it.
type datalist struct {
	ID    string
	Names []option
}

// headcount is how many people are meant, made anew while fields are typed.
type headcount struct {
	Title, Text, Small string
	Buttons            []button
	Refresh            string // for who has no script
	Table              *table
}

// past is something that was tried once, with its steps to open.
type past struct {
	Pill    pill
	Time    *moment
	Text    string
	Small   string // what went wrong
	Steps   []step
	Banners []banner
	Open    bool
}

// banner says something that must not be overlooked.
type banner struct {
	Tone    tone
	Icon    string
	Title   string
	Texts   []string
	Links   []link // to the fields that it is about
	Said    string // what the other side said, in its own words; empty: nothing
	Details string // what it was in English, for whoever looks after it, to open; empty: nothing
	Actions []button
	Help    *help
}

type link struct{ Text, Href string }

// tab is one of a row of pages about the same thing.
type tab struct {
	Text, Href string
	Here       bool
}

// menu is a button that opens a list of links and actions.
type menu struct {
	Label string // read aloud where only the icon shows
	Text  string
	Icon  string
	Left  bool
	Items []menuItem
}

// menuItem is a link, or an action if Post is set.
type menuItem struct {
	Text, Href, Icon string
	Post             bool
	Name, Value      string
	Here             bool
	Danger           bool
	Line             bool // a line before it
}

// pairs is a list of names and values.
type pairs []pairItem

type pairItem struct {
	Name  string
	Text  string
	Mono  bool
	Copy  *line
	Pill  *pill
	Time  *moment
	Href  string
	Small string
}

// moment is a time: relative in words, absolute in the member's zone on hover, and for machines.
type moment struct {
	Text, Title string
	At          time.Time
}

// Machine is the time as <time datetime> has it.
func (m moment) Machine() string { return m.At.UTC().Format(time.RFC3339) }

// spark is a line without axes. Path is made by this program.
type spark struct {
	Label string
	Path  string
}

// figure is a number that a page begins with.
type figure struct {
	Name, Text, Small, Href string
	Time                    *moment
}

// filter narrows a list down. It is sent as a question, so what it gives has an address.
type filter struct {
	Fields []field
	Button string
	Clear  *button // nil: nothing is chosen
}

// progress is how far something is.
type progress struct {
	Label      string
	Done, Full int64
}
