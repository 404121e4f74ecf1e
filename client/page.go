package client

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Given as cursor it gives the next page; absent on the last."`
}

// List says which part of a list is wanted.
type List struct {
	Cursor string // of the page before; empty: from the beginning
	Limit  int    // items at most; 0: as many as the server likes
}
