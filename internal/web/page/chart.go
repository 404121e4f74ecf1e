package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/text"
)

// chart is one or two lines over time, as SVG made here, with the numbers as a table behind it. Its places are shares of
// its width, and its texts keep their size: so one drawing serves a phone and a large screen.
type chart struct {
	Label  string // what is shown, read aloud
	Ranges []tab  // the times that can be chosen; empty: there is no choice
	Keys   []chartKey
	Unit   string // what a point is the number of, and the time zone
	Grid   []gridline
	Ticks  []tick
	Lines  []chartLine
	Spots  []spot
	Table  table
	Behind string // of the link that opens the table
}

type chartKey struct{ Class, Text string }

// gridline is a number of the axis and where it is, from the top in pixels.
type gridline struct {
	Y    float64
	Text string
}

// tick is a time below the plane, at X percent of its width.
type tick struct {
	X      float64
	Text   string
	Anchor string // start, middle, end: ends stay inside the plane
	Wide   bool   // only where there is room
}

// chartLine is a line; Open is its last piece, of a time that is not over, and Now where that has come to.
type chartLine struct{ Class, Path, Open, Now, Area string }

// spot tells the numbers of a moment to who points at it.
type spot struct {
	X, Width float64 // percent
	Text     string
}

// point is one moment of a chart with a value for each line.
type point struct {
	At     time.Time
	Label  string // in the table
	Tick   string // below the axis; empty: none
	Wide   bool   // Tick only where there is room
	Values [2]int64
}

// The plane of a chart: chartPlane pixels high, chartTop below the top. Its width is that of the page; paths are in
// thousandths of it.
const (
	chartTop, chartPlane = 12.0, 200.0
	chartWidth           = 1000.0
	gridlines            = 4
)

// newChart draws points, oldest first. names are those of the lines: one or two. open says that the last point's time is
// not over.
func newChart(lang text.Language, label, when string, names []string, points []point, open bool) chart {
	c := chart{Label: label, Behind: say(lang, "page.chart_table"), Table: table{Columns: []column{{when, false}}}}
	var top int64
	for i, n := range names {
		c.Keys = append(c.Keys, chartKey{fmt.Sprintf("s%d", i+1), n})
		c.Table.Columns = append(c.Table.Columns, column{n, true})
		for _, p := range points {
			top = max(top, p.Values[i])
		}
	}
	each := round(top)
	reach := max((top+each-1)/each, 1) * each
	height := func(v int64) float64 { return float64(v) / float64(reach) }
	for v := int64(0); v <= reach; v += each {
		c.Grid = append(c.Grid, gridline{chartTop + chartPlane*(1-height(v)), lang.Short(v)})
	}
	last := len(points) - 1
	share := func(i int) float64 { return float64(i) / float64(max(last, 1)) }
	at := func(i int, v int64) string {
		return fmt.Sprintf("%.1f %.1f", share(i)*chartWidth, chartPlane*(1-height(v)))
	}
	for i, p := range points {
		if p.Tick != "" {
			anchor := "middle"
			if i == last {
				anchor = "end"
			}
			c.Ticks = append(c.Ticks, tick{100 * share(i), p.Tick, anchor, p.Wide})
		}
		cells := []cell{{Text: p.Label}}
		s := spot{X: 100 * (share(i) - share(1)/2), Width: 100 * share(1), Text: p.Label}
		for k, n := range names {
			cells = append(cells, cell{Text: lang.Number(p.Values[k])})
			s.Text += "\n" + n + ": " + lang.Number(p.Values[k])
		}
		c.Spots = append(c.Spots, s)
		c.Table.Rows = append(c.Table.Rows, row{cells})
	}
	for k := range names {
		l := chartLine{Class: c.Keys[k].Class}
		var path []string
		for i, p := range points {
			path = append(path, at(i, p.Values[k]))
		}
		if len(path) > 1 {
			if k == 0 {
				l.Area = "M" + strings.Join(path, "L") + "L" + at(last, 0) + "L" + at(0, 0) + "Z"
			}
			if open {
				l.Open, l.Now = "M"+path[last-1]+"L"+path[last], "M"+path[last]+"h0"
				path = path[:last]
			}
			l.Path = "M" + strings.Join(path, "L")
		}
		c.Lines = append(c.Lines, l)
	}
	return c
}

// round gives the least step of 1, 2 or 5 times a power of ten of which gridlines reach over top.
func round(top int64) int64 {
	least := max(float64(top)/gridlines, 1)
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= least {
			return int64(m * power)
		}
	}
	return int64(10 * power)
}

// newSpark draws values, oldest first, without axes. No value at all gives a line at the bottom.
func newSpark(label string, values []int64) *spark {
	var top int64 = 1
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	for i, v := range values {
		fmt.Fprintf(&b, "%c%.1f %.1f", "ML"[min(i, 1)], float64(i)/float64(max(len(values)-1, 1))*sparkWidth, 1+(sparkHeight-2)*(1-float64(v)/float64(top)))
	}
	return &spark{label, b.String()}
}

// The plane of a spark. Source: the template.
const sparkWidth, sparkHeight = 96.0, 24.0

func sampleChart() chart {
	var ps []point
	for i := range 24 {
		p := point{Label: fmt.Sprintf("%02d:00", i), Values: [2]int64{int64(9000 + 4000*math.Sin(float64(i)/4)), int64(8900 + 4000*math.Sin(float64(i)/4-.15))}}
		if i%3 == 0 {
			p.Tick, p.Wide = p.Label, i%6 != 0
		}
		ps = append(ps, p)
	}
	c := newChart(text.English, "Events an hour, the last 24 hours", "Hour", []string{"Accepted", "Delivered"}, ps, true)
	c.Ranges = []tab{{"60 minutes", "#", false}, {"24 hours", "#", true}, {"30 days", "#", false}}
	return c
}
