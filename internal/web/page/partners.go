package page

// partnerPages are the technology partners: where exports on demand go.
func partnerPages() []page {
	return []page{}
}
