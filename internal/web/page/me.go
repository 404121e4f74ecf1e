package page

// mePages are a member's own: language, password, second factor, sessions, tokens.
func mePages() []page {
	return []page{}
}
