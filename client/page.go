package client

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Given as cursor it gives the next page; absent on the last."`
}
