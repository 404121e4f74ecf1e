package page

// homePages are the overview of a workspace and its inbox of notices.
func homePages() []page {
	return []page{}
}
