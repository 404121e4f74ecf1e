package e2e_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/millrace/millrace/internal/text"
)

var (
	screenshots    = flag.String("screenshots", "", "the folder that pictures of every page are written to")
	screenshotsAll = flag.Bool("screenshots-all", false, "in every language, width, colour scheme and state, not only in those that are kept")
)

// TestScreenshots makes the pictures that `make screenshots` is asked for, and the page that shows them.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return // they are for people to look at
	}
	d := newDashboard(t)
	d.furnish()
	many := d.workspace("umbrella")
	for i := range 40 {
		d.launch(many, fmt.Sprintf("%s %d", []string{"warehouse", "lake", "archive"}[i%3], i), jsonObject{"destination": jsonObject{"folder": fmt.Sprint("many/", i)}})
	}
	table, g := pagesOfTheTable(t), gallery{}
	states := []struct{ name, from string }{{"usual", d.usual}, {"failing", d.failing}, {"odd names", d.odd}, {"empty", d.empty}, {"many", many}}
	for _, l := range text.Languages() {
		in := d.member(t, "x-"+strings.ToLower(string(l))+"@acme.example", screen{lang: l})
		for _, state := range states {
			if l != text.English && state.name != "usual" && !*screenshotsAll {
				continue
			}
			walk(in, table, []string{state.from, d.warehouse}, 1, func(pattern string) {
				name := nameOf(pattern)
				if state.name != "usual" && !*screenshotsAll && !slices.Contains([]string{"overview", "currents", "currents-one", "currents-one-checks", "notices", "settings-keys-one", "settings-members"}, name) {
					return
				}
				for _, as := range []screen{{}, {dark: true}, {width: 768}, {width: 768, dark: true}, {width: 360}, {width: 360, dark: true}} {
					kept := as == screen{} || l == text.English && state.name == "usual" && (as == screen{dark: true} || as == screen{width: 360})
					if !kept && !*screenshotsAll {
						continue
					}
					in.become(as)
					file := fmt.Sprintf("%s/%s-%s-%d", l, name, strings.ReplaceAll(state.name, " ", "-"), cmp.Or(as.width, 1280))
					if as.dark {
						file += "-dark"
					}
					g.keep(t, pattern, file+".webp", in.webp())
				}
				in.become(screen{})
			})
		}
	}
	g.index(t)
}

// nameOf is a kind of page as part of a file's name.
func nameOf(pattern string) string {
	name := strings.Trim(strings.TrimPrefix(pattern, "/w/{}"), "/")
	return cmp.Or(strings.NewReplacer("{}", "one", "/", "-").Replace(name), "overview")
}

// webp is a picture of the page, small: of a long one, its beginning.
func (w *window) webp() (picture []byte) {
	w.t.Helper()
	size := js[[]float64](w, "[document.documentElement.clientWidth, Math.min(document.documentElement.scrollHeight, 1600)]")
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		p, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: new(int64(20)), CaptureBeyondViewport: new(true),
			Clip: &page.Viewport{Width: size[0], Height: size[1], Scale: 0.625}})
		picture = p.Data
		return err
	}))
	return picture
}

// gallery is files by the kind of page that they show.
type gallery map[string][]string

func (g gallery) keep(t *testing.T, pattern, file string, picture []byte) {
	t.Helper()
	name := filepath.Join(*screenshots, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, picture, 0o644); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(g[pattern], file) {
		g[pattern] = append(g[pattern], file)
	}
}

// index writes the page that leads to all of them.
func (g gallery) index(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# How the dashboard looks\n\nMade by `make screenshots`, in a headless Chromium, from a server with workspaces in every state. `make screenshots ALL=1` makes\n" +
		"each page in every language, width (360, 768, 1280), colour scheme and state, in `.cache/screenshots`.\n\n| page | pictures |\n|---|---|\n")
	for _, pattern := range slices.Sorted(maps.Keys(g)) {
		fmt.Fprintf(&b, "| `%s` |", strings.NewReplacer("/w/{}", "…", "{}", "…").Replace(pattern))
		for i, file := range g[pattern] {
			words := strings.TrimPrefix(strings.TrimSuffix(strings.Replace(file, "/"+nameOf(pattern), "", 1), ".webp"), "/")
			fmt.Fprintf(&b, "%s [%s](%s)", []string{"", ","}[min(i, 1)], strings.ReplaceAll(words, "-", " "), file)
		}
		b.WriteString(" |\n")
	}
	if err := os.WriteFile(filepath.Join(*screenshots, "README.md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
