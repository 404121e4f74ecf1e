package page

// installationPages are those of installation administrators.
func installationPages() []page {
	return []page{}
}
