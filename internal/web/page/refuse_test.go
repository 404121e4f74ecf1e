package page

import (
	"net/http"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

func TestWhatIsWrongWithAFieldIsSaidInTheVisitorsLanguage(t *testing.T) {
	w := newWorld(t)
	root := control.WithActor(t.Context(), control.CommandLine())
	made, err := w.people.Invite(root, control.Invite{Email: "eva@acme.example", Workspace: w.acme.Number, Role: control.Viewer})
	must(t, err)
	b := w.browser("es")
	b.post(strings.TrimPrefix(made.Link.Reveal(), "https://mill.example"), "name", " Eva", "password", "short").has(t, http.StatusUnprocessableEntity,
		"Un nombre no empieza ni termina con un espacio.", "Una contraseña tiene al menos 10 caracteres.")
}

func TestTheProblemsOfACurrentAreSaidInTheVisitorsLanguage(t *testing.T) {
	types, err := event.NewCatalogue(nil)
	must(t, err)
	c := control.Connector{}
	c.Name, c.ContactEmail, c.Codec, c.FlushInterval, c.FlushEvents = "a/b", "nobody", "defalte", control.MinFlushInterval, 2_000_000
	c.Events, c.Destination.Bucket, c.Destination.Folder = []string{"engagment"}, "sthree-x", strings.Repeat("x", 1200)
	c.Transformations = []control.Transformation{{Field: "time", Action: control.Hash}}
	said := (&visit{lang: text.Spanish}).problems(&fault.Error{Code: fault.Invalid, Fields: c.Validate(types)})
	for field, want := range map[string]string{
		"name":                     "Un nombre no contiene barras, porque los comandos escriben ESPACIO/NOMBRE.",
		"contact_email":            "Esto no es una dirección de correo como data@example.com.",
		"codec":                    "«defalte» no es ninguno de estos: deflate, null, snappy, zstandard. ¿Quiso decir «deflate»?",
		"flush.events":             "El número de eventos está entre 100 y 100.000; este es 2.000.000.",
		"events[0]":                "«engagment» no es ni un tipo de evento ni un grupo; el nombre conocido más parecido es «engagement».",
		"destination.bucket":       "Ningún nombre de bucket empieza con «sthree-».",
		"destination.folder":       "Una carpeta tiene como máximo 512 bytes; esta tiene 1200.",
		"transformations[0].field": "El campo time no contiene texto; solo el texto se puede quitar o convertir en hash.",
	} {
		if said[field] != want {
			t.Errorf("%s: %s\nwant %s", field, said[field], want)
		}
	}
	if len(said) != 8 {
		t.Errorf("said of %d fields: %v", len(said), said)
	}
}

func TestNobodyReadsEnglishWhoAskedForSpanish(t *testing.T) {
	untold := fault.New(fault.NotFound, "", "there is no draft %s", "x").WithHint("Look into the log.")
	told := &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.no_key", Text: "There is no such API key."}}
	for _, row := range []struct {
		lang          text.Language
		err           error
		message, hint string
	}{
		{text.Spanish, untold, text.T(text.Spanish, "page.error_not_found", nil), ""},
		{text.English, untold, "there is no draft x", "Look into the log."},
		{text.Spanish, told, "Esa clave de API no existe.", ""},
	} {
		v := &visit{lang: row.lang}
		if m, h := v.message(row.err), v.hint(row.err); m != row.message || h != row.hint {
			t.Errorf("%v in %s: %q, %q; want %q, %q", row.err, row.lang, m, h, row.message, row.hint)
		}
	}
}

// A page says what is not there, in its own language, and not its title once more.
func TestAPageSaysWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.installs()
	current := w.launch("warehouse")
	for lang, says := range map[text.Language][]string{
		text.English: {"There is no event type &#34;users.messages.email.Opne&#34;.", "Did you mean &#34;users.messages.email.Open&#34;?", "There is no such API key.", "no such credential check", "no such replay",
			"The workspace has no such Current.", "The Current has delivered no such file.", "no such draft", "There is no such workspace", "no such segment", "No event of the workspace has named it"},
		text.Portuguese: {"Não há tipo de evento “users.messages.email.Opne”.", "Você quis dizer “users.messages.email.Open”?", "Essa chave de API não existe.", "não tem essa verificação de credenciais", "nem essa repetição",
			"O espaço de trabalho não tem esse Current.", "O Current não entregou esse arquivo.", "não tem esse rascunho", "Esse espaço de trabalho não existe", "não tem esse segmento", "Nenhum evento do espaço de trabalho"},
		text.Spanish: {"No hay ningún tipo de evento «users.messages.email.Opne».", "¿Quiso decir «users.messages.email.Open»?", "Esa clave de API no existe.", "no tiene esa comprobación de credenciales", "ni esa repetición",
			"El espacio de trabajo no tiene ese Current.", "El Current no ha entregado ese archivo.", "no tiene ese borrador", "Ese espacio de trabajo no existe", "no tiene ese segmento", "Ningún evento del espacio de trabajo"},
	} {
		b := w.signedIn(string(lang))
		title := "<h2>" + text.T(lang, "page.error_not_found", nil)
		for i, at := range []string{w.at("/events/users.messages.email.Opne"), w.at("/events/users.messages.email.Opne"), w.at("/settings/keys/zzz"), w.at("/checks/zzz"), w.at("/jobs/zzz"),
			w.at("/currents/" + current + "zz"), w.at("/currents/" + current + "/files/zzz"), w.at("/currents/new?draft=zzz"), "/w/zzz", w.at("/segments/zzz"), w.at("/campaigns/zzz")} {
			b.get(at).has(t, http.StatusNotFound, says[i]).lacks(t, title)
		}
	}
}
