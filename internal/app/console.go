package app

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Console is where a command speaks: results to Out, everything else to Err, so that a script can read the one and
// a person the other.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal says that a person looks at Err: progress is drawn there.
	Terminal bool
	// Program is how the program was called, for commands that are shown to be copied.
	Program string
	// Version is the program's version, as built.
	Version string
}

// Print writes a line of the result.
func (c *Console) Print(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) }

// Note writes a line for people.
func (c *Console) Note(format string, args ...any) { fmt.Fprintf(c.Err, format+"\n", args...) }

// JSON writes v as one indented JSON document.
func (c *Console) JSON(v any) error {
	e := json.NewEncoder(c.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Line writes v as one line of JSON.
func (c *Console) Line(v any) error {
	e := json.NewEncoder(c.Out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// bar draws how far long work has come. It is silent where nobody looks, and safe for concurrent use.
type bar struct {
	c     *Console
	what  string
	unit  func(int64) string
	mu    sync.Mutex
	drawn time.Time
	shown bool
}

// bar begins a bar for what; amounts are shown by unit (nil: plain numbers).
func (c *Console) bar(what string, unit func(int64) string) *bar {
	if unit == nil {
		unit = func(n int64) string { return fmt.Sprint(n) }
	}
	return &bar{c: c, what: what, unit: unit}
}

// Set shows done of total; total 0 is not known. It draws ten times a second at most.
func (b *bar) Set(done, total int64) {
	if !b.c.Terminal {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.drawn) < 100*time.Millisecond {
		return
	}
	b.drawn, b.shown = time.Now(), true
	if total <= 0 {
		fmt.Fprintf(b.c.Err, "\r\x1b[K%s %s", b.what, b.unit(done))
		return
	}
	const width = 30
	full := int(min(done, total) * width / total)
	fmt.Fprintf(b.c.Err, "\r\x1b[K%s [%s%s] %3d %%  %s of %s", b.what,
		"##############################"[:full], "..............................."[:width-full],
		min(done, total)*100/total, b.unit(done), b.unit(total))
}

// End takes the bar away.
func (b *bar) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shown {
		fmt.Fprint(b.c.Err, "\r\x1b[K")
		b.shown = false
	}
}

// progress draws one bar after the other, as the work's own words change; end takes the last one away.
func (c *Console) progress() (set func(doing string, done, total int64), end func()) {
	b := c.bar("", thousands)
	return func(doing string, done, total int64) {
		if b.what != doing {
			b.End()
			b = c.bar(doing, thousands)
		}
		b.Set(done, total)
	}, func() { b.End() }
}

// quantity is a number with its noun.
func quantity(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// size shows bytes as people say them.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}
