package web

import "net/http"

// serve answers the address of one row.
func (a *api) serve(r route) http.Handler {
	return http.NotFoundHandler()
}
