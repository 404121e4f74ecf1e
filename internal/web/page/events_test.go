package page

import (
	"net/http"
	"testing"

	"github.com/millrace/millrace/internal/text"
)

func TestTheCatalogueOfEventsIsSearched(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(w.at("/events")).has(t, http.StatusOK, say(l, "page.group_engagement"), say(l, "page.group_agent"), w.at("/events/users.messages.email.Open"))
		b.get(w.at("/events?q=EMAIL.open")).has(t, http.StatusOK, "users.messages.email.Open", `value="EMAIL.open"`).lacks(t, "users.behaviors.Purchase")
		b.get(w.at("/events?q=product_id")).has(t, http.StatusOK, "users.behaviors.Purchase").lacks(t, "users.messages.email.Open")
		b.get(w.at("/events?q=%3Ci%3E")).has(t, http.StatusOK, say(l, "page.nothing_found"), "&lt;i&gt;").lacks(t, "<i>")
	}
}

func TestAnEventTypeIsExplained(t *testing.T) {
	w := newWorld(t)
	current := w.launch("warehouse <i>")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		at := w.at("/events/users.messages.email.Open")
		b.get(at).has(t, http.StatusOK, say(l, "page.event_required"), say(l, "page.event_optional"), say(l, "page.event_since", "id", ""), `id="example-curl"`,
			"&lt;i&gt;", "https://mill.example/v1/events", "s3://acme-currents/currents/", `<option value="`+current+`" selected>warehouse &lt;i&gt;`).lacks(t, "<i>")
		for _, d := range dialects {
			b.get(at+"?ddl="+d.name+"&current="+current).has(t, http.StatusOK, `<option value="`+d.name+`" selected>`, "acme-currents", "-- "+d.name)
		}
		b.get(at+"?ddl=oracle").has(t, http.StatusOK, "-- snowflake")
		b.get(at+"?current=000000000000000000000000").has(t, http.StatusNotFound)
		b.get(w.at("/events/users.Nothing")).has(t, http.StatusNotFound)
	}
}

func TestAnEventTypeNeedsNoCurrent(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		w.signedIn(string(l)).get(w.at("/events/users.behaviors.Purchase")).has(t, http.StatusOK, say(l, "page.event_table_none"), "&lt;bucket&gt;")
	}
}

func TestEventsAreExplainedInTheVisitorsLanguage(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("es")
	b.get(w.at("/events?q=correo")).has(t, http.StatusOK, "Una persona abrió un correo.").lacks(t, "A person opened")
	b.get(w.at("/events/users.messages.email.Open")).has(t, http.StatusOK, "Una persona abrió un correo.", "Navegador en el que ocurrió.").lacks(t, "A person", "Browser in which")
}
