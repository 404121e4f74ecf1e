package text

import (
	"testing"
	"time"

	xplural "golang.org/x/text/feature/plural"
	xlanguage "golang.org/x/text/language"

	"github.com/millrace/millrace/internal/fault"
)

func TestSpanishJoinsBySound(t *testing.T) {
	for b, want := range map[string]string{
		"hizo login": "a e hizo login", "inglés": "a e inglés", "Íñigo": "a e Íñigo", "(hizo x)": "a e (hizo x)", "hielo": "a y hielo", "hiato": "a y hiato", "ion": "a y ion",
		"compró": "a y compró", "y": "a y y", "": "a y ",
	} {
		if got := T(Spanish, "filter.and", Params{"a": "a", "b": b}); got != want {
			t.Errorf("%q: %q, want %q", b, got, want)
		}
	}
	for b, want := range map[string]string{"opción": "a u opción", "hora": "a u hora", "(otro)": "a u (otro)", "DE": "a o DE"} {
		if got := T(Spanish, "filter.or", Params{"a": "a", "b": b}); got != want {
			t.Errorf("%q: %q, want %q", b, got, want)
		}
	}
	if got := T(Portuguese, "filter.and", Params{"a": "a", "b": "idade"}); got != "a e idade" {
		t.Error(got)
	}
}

func TestMatch(t *testing.T) {
	for header, want := range map[string]Language{
		"":                                English,
		"*":                               English,
		"en-GB,en;q=0.9":                  English,
		"pt-BR,pt;q=0.9,en;q=0.8":         Portuguese,
		"pt-PT":                           Portuguese,
		"pt":                              Portuguese,
		"es-419,es;q=0.9,en;q=0.5":        Spanish,
		"es-MX":                           Spanish,
		"de,fr;q=0.9":                     English,
		"de,es;q=0.5":                     Spanish,
		"en;q=0.2,es;q=0.8":               Spanish,
		"en;q=;;;,,,":                     English,
		string(make([]byte, 100_000)):     English,
		"pt-BR;q=0.001,xx-unknown-zz-zzz": English, // one bad tag spoils the header
	} {
		if got := Match(header); got != want {
			t.Errorf("Match(%.40q) = %q, want %q", header, got, want)
		}
	}
}

func TestParseTakesTagsOnly(t *testing.T) {
	for _, l := range Languages() {
		if got, ok := Parse(string(l)); got != l || !ok {
			t.Errorf("Parse(%q) = %q, %v", l, got, ok)
		}
	}
	for _, s := range []string{"", "pt", "EN", "de"} {
		if got, ok := Parse(s); ok {
			t.Errorf("Parse(%q) = %q", s, got)
		}
	}
}

func TestShortDays(t *testing.T) {
	at := time.Date(2026, 8, 3, 0, 0, 0, 0, time.UTC)
	for l, want := range map[Language]string{English: "3 Aug", Portuguese: "3 ago", Spanish: "3 ago"} {
		if got := l.DayMonth(at); got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
}

func TestShortNumbers(t *testing.T) {
	for _, row := range []struct {
		n          int64
		en, pt, es string
	}{
		{0, "0", "0", "0"},
		{999, "999", "999", "999"},
		{1500, "1.5K", "1,5 mil", "1,5 mil"},
		{20_000, "20K", "20 mil", "20 mil"},
		{150_500, "150K", "150 mil", "150 mil"},
		{2_000_000, "2M", "2 mi", "2 M"},
		{1_250_000_000, "1.2B", "1,2 bi", "1,2 mil M"},
	} {
		if en, pt, es := English.Short(row.n), Portuguese.Short(row.n), Spanish.Short(row.n); en != row.en || pt != row.pt || es != row.es {
			t.Errorf("%d: %q %q %q, want %q %q %q", row.n, en, pt, es, row.en, row.pt, row.es)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, row := range []struct {
		n          int64
		en, pt, es string
	}{
		{0, "0", "0", "0"},
		{999, "999", "999", "999"},
		{1234, "1,234", "1.234", "1234"},
		{12480, "12,480", "12.480", "12.480"},
		{1_000_000, "1,000,000", "1.000.000", "1.000.000"},
		{-9_223_372_036_854_775_808, "-9,223,372,036,854,775,808", "-9.223.372.036.854.775.808", "-9.223.372.036.854.775.808"},
	} {
		if en, pt, es := English.Number(row.n), Portuguese.Number(row.n), Spanish.Number(row.n); en != row.en || pt != row.pt || es != row.es {
			t.Errorf("%d: %q %q %q, want %q %q %q", row.n, en, pt, es, row.en, row.pt, row.es)
		}
	}
}

func TestAmounts(t *testing.T) {
	for _, row := range []struct {
		n          float64
		en, pt, es string
	}{
		{0, "0.00", "0,00", "0,00"},
		{1234.5, "1,234.50", "1.234,50", "1234,50"},
		{-0.25, "-0.25", "-0,25", "-0,25"},
		{-12480.999, "-12,481.00", "-12.481,00", "-12.481,00"},
		{1e21, "1000000000000000000000.00", "1000000000000000000000.00", "1000000000000000000000.00"},
	} {
		if en, pt, es := English.Amount(row.n), Portuguese.Amount(row.n), Spanish.Amount(row.n); en != row.en || pt != row.pt || es != row.es {
			t.Errorf("%v: %q %q %q, want %q %q %q", row.n, en, pt, es, row.en, row.pt, row.es)
		}
	}
}

func TestBytes(t *testing.T) {
	for _, row := range []struct {
		n      int64
		en, es string
	}{
		{0, "0 B", "0 B"}, {1023, "1023 B", "1023 B"}, {1024, "1 KiB", "1 KiB"}, {1536, "1.5 KiB", "1,5 KiB"},
		{1<<20 - 1, "1 MiB", "1 MiB"}, {256 << 20, "256 MiB", "256 MiB"}, {5<<30 + 1<<29, "5.5 GiB", "5,5 GiB"}, {1<<63 - 1, "8 EiB", "8 EiB"},
	} {
		if en, es := English.Bytes(row.n), Spanish.Bytes(row.n); en != row.en || es != row.es {
			t.Errorf("%d: %q %q, want %q %q", row.n, en, es, row.en, row.es)
		}
	}
}

func TestDurations(t *testing.T) {
	for _, row := range []struct {
		d          time.Duration
		en, pt, es string
	}{
		{0, "0 seconds", "0 segundo", "0 segundos"},
		{time.Second, "1 second", "1 segundo", "1 segundo"},
		{20 * time.Second, "20 seconds", "20 segundos", "20 segundos"},
		{time.Hour, "1 hour", "1 hora", "1 hora"},
		{90 * time.Minute, "1 hour 30 minutes", "1 hora e 30 minutos", "1 hora y 30 minutos"},
		{47*time.Hour + 59*time.Minute, "1 day 23 hours", "1 dia e 23 horas", "1 día y 23 horas"},
		{48*time.Hour + time.Second, "2 days", "2 dias", "2 días"},
		{-time.Minute, "1 minute", "1 minuto", "1 minuto"},
	} {
		if en, pt, es := English.Duration(row.d), Portuguese.Duration(row.d), Spanish.Duration(row.d); en != row.en || pt != row.pt || es != row.es {
			t.Errorf("%s: %q %q %q, want %q %q %q", row.d, en, pt, es, row.en, row.pt, row.es)
		}
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 12, 1, 2, 15, 59, 0, time.UTC)
	nameless := time.FixedZone("-03", -3*3600)
	for _, row := range []struct {
		l    Language
		zone *time.Location
		want string
	}{
		{English, nil, "1 December 2026, 02:15 UTC"},
		{Portuguese, time.UTC, "1º de dezembro de 2026, 02:15 UTC"},
		{Spanish, time.UTC, "1 de diciembre de 2026, 02:15 UTC"},
		{Portuguese, nameless, "30 de novembro de 2026, 23:15 UTC-03:00"},
		{Spanish, time.FixedZone("CET", 3600), "1 de diciembre de 2026, 03:15 CET"},
		{"xx", nil, "1 December 2026, 02:15 UTC"},
	} {
		if got := row.l.Time(at, row.zone); got != row.want {
			t.Errorf("%s: %q, want %q", row.l, got, row.want)
		}
	}
}

// The rules are those of a newer CLDR than the one that x/text carries, which has no form for whole millions.
func TestPluralsAgreeWithTheLibraryWhereItKnowsThem(t *testing.T) {
	tags := map[Language]xlanguage.Tag{English: xlanguage.English, Portuguese: xlanguage.BrazilianPortuguese, Spanish: xlanguage.Spanish}
	forms := map[plural]xplural.Form{one: xplural.One, other: xplural.Other}
	for l, tag := range tags {
		for n := range 20_000 {
			if want := xplural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0); forms[l.plural(int64(n))] != want {
				t.Fatalf("%s %d: %v, want %v", l, n, forms[l.plural(int64(n))], want)
			}
		}
	}
	for n, want := range map[int64]plural{1_000_000: many, 2_000_000: many, 1_000_001: other, 1_500_000: other} {
		if got := Spanish.plural(n); got != want {
			t.Errorf("es %d: %v, want %v", n, got, want)
		}
		if got := English.plural(n); got != other {
			t.Errorf("en %d: %v", n, got)
		}
	}
}

func TestSentences(t *testing.T) {
	dropped := Params{"connector": "w", "workspace": "acme", "events": int64(1)}
	for _, row := range []struct{ what, got, want string }{
		{"one", T(Spanish, "notice.dropped.subject", dropped), "w (acme): se ha descartado 1 evento"},
		{"thousands", T(Portuguese, "notice.dropped.subject", Params{"connector": "w", "workspace": "acme", "events": 12480}), "w (acme): 12.480 eventos foram descartados"},
		{"whole millions", T(Portuguese, "notice.dropped.subject", Params{"connector": "w", "workspace": "acme", "events": 3_000_000}), "w (acme): 3.000.000 de eventos foram descartados"},
		{"sizes", T(Spanish, "notice.disk_quota", Params{"used": Bytes(1536), "limit": Bytes(4096)}), "El registro de eventos ocupa 1,5 KiB de 4 KiB."},
		{"an unknown language", T("tlh", "mail.todo", nil), "What to do"},
		{"an unknown key", T(English, "no.such.key", nil), "no.such.key"},
		{"a missing parameter stays", T(English, "notice.key_unused.subject", Params{"key": "k"}), "{workspace}: the API key “k” is not used"},
		{"values are not searched for places", T(English, "notice.key_unused.subject", Params{"key": "{workspace}", "workspace": "{key}"}), "{key}: the API key “{workspace}” is not used"},
		{"a fault with a key", Say(Portuguese, fault.Message{Key: "check.heading.invalid", Text: "S3 credentials are invalid"}, nil), "As credenciais do S3 são inválidas"},
		{"a fault without a key", Say(Portuguese, fault.Message{Text: "disk {n} is full {"}, fault.Params{"n": 7}), "disk 7 is full {"},
	} {
		if row.got != row.want {
			t.Errorf("%s: %q, want %q", row.what, row.got, row.want)
		}
	}
}
