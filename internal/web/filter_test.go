package web

import (
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

func TestAFilterIsSaidInEachLanguage(t *testing.T) {
	for _, c := range []struct {
		filter string
		want   [3]string // as text.Languages
	}{
		{`{}`, [3]string{"everybody", "todas as pessoas", "todas las personas"}},
		{`{"all":[{"attribute":{"name":"country","one_of":["DE","FR"]}},{"any":[{"custom":{"name":"vip","is":true}},{"custom":{"name":"age","at_least":18,"at_most":65.5}}]}]}`, [3]string{
			"(country is DE or FR) and (vip is true or (age is at least 18 and age is at most 65.5))",
			"(país é DE ou FR) e (vip é verdadeiro ou (age é no mínimo 18 e age é no máximo 65.5))",
			"(país es DE o FR) y (vip es verdadero o (age es como mínimo 18 y age es como máximo 65.5))"}},
		{`{"all":[{"attribute":{"name":"email"}},{"event":{"name":"login","at_most":1}}]}`, [3]string{
			"e-mail address is known and did login (at most 1 time, or never)",
			"endereço de e-mail é conhecido e fez login (no máximo 1 vez, ou nunca)",
			"correo electrónico se conoce e hizo login (como máximo 1 vez, o nunca)"}},
		{`{"event":{"name":"login","at_most":1,"last_after":"-1d"}}`, [3]string{
			"did login (at most 1 time, the last time from 1 day ago on)",
			"fez login (no máximo 1 vez, a última vez a partir de 1 dia atrás)",
			"hizo login (como máximo 1 vez, la última vez a partir de hace 1 día)"}},
		{`{"custom":{"name":"size","one_of":["", "XL"]}}`, [3]string{`size is "" or XL`, `size é "" ou XL`, `size es "" o XL`}},
		{`{"not":{"event":{"name":"login","at_least":2,"last_after":"-30d"}}}`, [3]string{
			"not (did login (at least 2 times, the last time from 30 days ago on))",
			"não (fez login (no mínimo 2 vezes, a última vez a partir de 30 dias atrás))",
			"no (hizo login (como mínimo 2 veces, la última vez a partir de hace 30 días))"}},
		{`{"message":{"channel":"email","did":"opened","before":"2026-11-22T10:00:00Z"}}`, [3]string{
			"opened a message of the channel e-mail (before 2026-11-22T10:00:00Z)",
			"abriu uma mensagem do canal e-mail (antes de 2026-11-22T10:00:00Z)",
			"abrió un mensaje del canal correo electrónico (antes de 2026-11-22T10:00:00Z)"}},
		{`{"any":[{"group":{"id":"news","state":"unsubscribed"}},{"attribute":{"name":"email"}},{"purchase":{"name":"shoe","revenue_at_least":9.5}}]}`, [3]string{
			"unsubscribed from the group news or e-mail address is known or bought shoe (for at least 9.5)",
			"cancelou a inscrição no grupo news ou endereço de e-mail é conhecido ou comprou shoe (por no mínimo 9.5)",
			"dado de baja del grupo news o correo electrónico se conoce o compró shoe (por un mínimo de 9.5)"}},
	} {
		f, problems := control.ParseFilter("filter", []byte(c.filter))
		if problems != nil {
			t.Fatal(c.filter, problems)
		}
		for i, l := range text.Languages() {
			if got := f.Words(func(key string, params map[string]any) string { return text.T(l, key, params) }); got != c.want[i] {
				t.Errorf("%s in %s:\n%s\nwant\n%s", c.filter, l, got, c.want[i])
			}
		}
	}
}
