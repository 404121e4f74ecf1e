package web

// planeExamples are those of rows about connectors and what belongs to them.
func (w *world) planeExamples() map[string]func(who string) example {
	return map[string]func(string) example{}
}
