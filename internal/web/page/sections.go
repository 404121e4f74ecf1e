package page

import "html/template"

// sectionsPage is a page of several things about the same, one below the other.
type sectionsPage struct {
	Frame    frame
	Banners  []banner
	Filter   *filter
	Sections []section
}

// section is one of them: a card with a heading and what is set.
type section struct {
	ID      string // where a link leads
	Title   string
	Text    string
	Actions []button // beside the heading
	Banner  *banner
	Bars    []progress
	Figures []figure
	Filter  *filter
	Chart   *chart
	Pairs   pairs
	Prose   template.HTML // paragraphs, steps and lists: see prose
	Drawing template.HTML // made by this program
	Line    *line
	Code    *code
	Codes   []code
	Folds   []fold
	Form    *form
	Table   *table
	Empty   *empty
	Keep    *download
	Buttons []button // below
}
