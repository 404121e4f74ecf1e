package control

import "testing"

func TestWhichWebhooksAreTheSame(t *testing.T) {
	const at = "https://hooks.acme.example/In?a=1"
	for _, row := range []struct {
		name, a, b string
		same       bool
	}{
		{"the very same", at, at, true},
		{"scheme and host in another case", "HTTPS://Hooks.Acme.Example/In?a=1", at, true},
		{"the scheme's own port", "https://hooks.acme.example:443/In?a=1", at, true},
		{"no path", "https://hooks.acme.example", "https://hooks.acme.example/", true},
		{"no path, and a question", "https://hooks.acme.example?a=1", "https://hooks.acme.example/?a=1", true},
		{"a path in another case", "https://hooks.acme.example/in?a=1", at, false},
		{"a path that is written out", "https://hooks.acme.example/%49n?a=1", at, false},
		{"a slash more", "https://hooks.acme.example/In/?a=1", at, false},
		{"another question", "https://hooks.acme.example/In?a=2", at, false},
		{"another port", "https://hooks.acme.example:8443/In?a=1", at, false},
		{"another scheme", "http://hooks.acme.example:443/In?a=1", at, false},
		{"another host", "https://hook.acme.example/In?a=1", at, false},
	} {
		if got := SameWebhook(row.a, row.b); got != row.same {
			t.Errorf("%s: same is %v", row.name, got)
		}
	}
}
