package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/text"
)

// chart is one or two lines over time, as SVG made here, with the numbers as a table behind it.
type chart struct {
	Label  string // what is shown, read aloud
	Keys   []chartKey
	Grid   []gridline
	Ticks  []tick
	Lines  []chartLine
	Table  table
	Behind string // of the link that opens the table
}

type chartKey struct{ Class, Text string }

type gridline struct {
	Y    float64
	Text string
}

type tick struct {
	X    float64
	Text string
}

type chartLine struct{ Class, Path, Area string }

// point is one moment of a chart with a value for each line.
type point struct {
	At     time.Time
	Label  string // in the table
	Tick   string // below the axis; empty: none
	Values [2]int64
}

// The plane of a chart, in units of its own: it grows with the page.
const (
	chartWidth, chartHeight = 960.0, 240.0
	chartLeft, chartRight   = 64.0, 8.0
	chartTop, chartBottom   = 12.0, 28.0
	gridlines               = 4
)

// newChart draws points, oldest first. names are those of the lines: one or two.
func newChart(lang text.Language, label, when string, names []string, points []point) chart {
	c := chart{Label: label, Behind: say(lang, "page.chart_table"), Table: table{Columns: []column{{when, false}}}}
	for i, n := range names {
		c.Keys = append(c.Keys, chartKey{fmt.Sprintf("s%d", i+1), n})
		c.Table.Columns = append(c.Table.Columns, column{n, true})
	}
	var top int64
	for _, p := range points {
		for i := range names {
			top = max(top, p.Values[i])
		}
	}
	each := round(top)
	full := float64(each * gridlines)
	y := func(v float64) float64 {
		return chartHeight - chartBottom - v/full*(chartHeight-chartTop-chartBottom)
	}
	x := func(i int) float64 {
		if len(points) < 2 {
			return chartLeft
		}
		return chartLeft + float64(i)/float64(len(points)-1)*(chartWidth-chartLeft-chartRight)
	}
	for i := range gridlines + 1 {
		v := each * int64(i)
		c.Grid = append(c.Grid, gridline{y(float64(v)), lang.Number(v)})
	}
	lines := make([]strings.Builder, len(names))
	for i, p := range points {
		if p.Tick != "" {
			c.Ticks = append(c.Ticks, tick{x(i), p.Tick})
		}
		cells := []cell{{Text: p.Label}}
		for k := range names {
			fmt.Fprintf(&lines[k], "%c%.1f %.1f", "ML"[min(i, 1)], x(i), y(float64(p.Values[k])))
			cells = append(cells, cell{Text: lang.Number(p.Values[k])})
		}
		c.Table.Rows = append(c.Table.Rows, row{cells})
	}
	for k := range names {
		l := chartLine{Class: c.Keys[k].Class, Path: lines[k].String()}
		if k == 0 && len(points) > 1 {
			l.Area = fmt.Sprintf("%sL%.1f %.1fL%.1f %.1fZ", l.Path, x(len(points)-1), y(0), x(0), y(0))
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

func sampleChart() chart {
	var ps []point
	for i := range 24 {
		p := point{Label: fmt.Sprintf("%02d:00", i), Values: [2]int64{int64(9000 + 4000*math.Sin(float64(i)/4)), int64(8900 + 4000*math.Sin(float64(i)/4-.15))}}
		if i%6 == 0 {
			p.Tick = p.Label
		}
		ps = append(ps, p)
	}
	return newChart(text.English, "Events an hour, the last 24 hours", "Hour", []string{"Accepted", "Delivered"}, ps)
}
