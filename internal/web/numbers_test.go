package web

// numberExamples are those of rows about how much.
func (w *world) numberExamples() map[string]func(who string) example {
	at := func(path string) func(string) example { return func(string) example { return example{path: path} } }
	return map[string]func(who string) example{
		"getConnectorCounts": func(string) example {
			c := w.launched(w.acme)
			w.delivered(c, 5000, 1)
			return example{path: "/workspaces/acme/connectors/" + string(c.Connector) + "/counts?by=day&zone=America/Sao_Paulo"}
		},
		"getCounts":   at("/workspaces/acme/counts"),
		"getOverview": at("/workspaces/acme/overview"),
	}
}
