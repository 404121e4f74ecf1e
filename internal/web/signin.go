package web

// signInRoutes are about coming in and going out.
func (a *api) signInRoutes() []route { return nil }
