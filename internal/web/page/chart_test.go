package page

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/text"
)

func TestAChartIsDrawnOfAnyNumbers(t *testing.T) {
	l, err := newLook()
	must(t, err)
	numbers := regexp.MustCompile(`(?: d="[^"]*"| (?:x|y|width)="[^"]*")`)
	for _, n := range []int{0, 1, 2, 60} {
		for _, top := range []int64{0, 1, 999, 12_480, 1e9} {
			var ps []point
			for i := range n {
				ps = append(ps, point{At: time.Now(), Label: fmt.Sprint("minute ", i), Tick: "<b>", Values: [2]int64{top, top * int64(i) / 60}})
			}
			c := newChart(text.Spanish, "<i>", "Minuto", []string{"a", "b"}, ps, true)
			w := httptest.NewRecorder()
			l.show(w, httptest.NewRequest("GET", "/", nil), text.Spanish, 200, "sections", sectionsPage{Sections: []section{{Chart: &c}}})
			body := w.Body.String()
			for _, never := range []string{"NaN", "Inf", "<b><", "<i><"} {
				if strings.Contains(body, never) {
					t.Errorf("%d points up to %d: the page holds %s", n, top, never)
				}
			}
			if got := strings.Count(body, "<rect"); got != n {
				t.Errorf("%d points have %d spots", n, got)
			}
			for _, x := range numbers.FindAllString(body, -1) {
				for _, s := range regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`).FindAllString(x, -1) {
					if v, err := strconv.ParseFloat(s, 64); err != nil || v < -60 || v > chartWidth {
						t.Errorf("%d points up to %d: %s lies outside of the plane", n, top, x)
					}
				}
			}
			if last := c.Grid[len(c.Grid)-1]; last.Y != chartTop || len([]rune(last.Text)) > 9 {
				t.Errorf("up to %d: the highest line says %q at %v", top, last.Text, last.Y)
			}
		}
	}
}

func TestASparkFillsItsPlane(t *testing.T) {
	for values, want := range map[string]string{"": "", "0": "M0.0 23.0", "0 4 2": "M0.0 23.0L48.0 1.0L96.0 12.0"} {
		var of []int64
		for s := range strings.FieldsSeq(values) {
			v, err := strconv.ParseInt(s, 10, 64)
			must(t, err)
			of = append(of, v)
		}
		if got := newSpark("", of).Path; got != want {
			t.Errorf("%s: %q, want %q", values, got, want)
		}
	}
}

func TestAChartUsesItsHeight(t *testing.T) {
	for top, want := range map[int64]string{0: "1", 1: "1", 5: "6", 9: "10", 10: "10", 41: "60", 870: "1K", 2100: "3K", 12_480: "15K"} {
		c := newChart(text.English, "", "", []string{"a"}, []point{{Values: [2]int64{top}}}, false)
		if got := c.Grid[len(c.Grid)-1].Text; got != want || len(c.Grid) > gridlines+1 {
			t.Errorf("up to %d: the highest of %d lines says %s, want %s", top, len(c.Grid), got, want)
		}
	}
}
