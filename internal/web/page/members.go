package page

// memberPages are the settings of a workspace: its name, members, API keys, webhooks and log of changes.
func memberPages() []page {
	return []page{}
}
