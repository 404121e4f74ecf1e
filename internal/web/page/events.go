package page

// eventPages are the catalogue of event types.
func eventPages() []page {
	return []page{}
}
