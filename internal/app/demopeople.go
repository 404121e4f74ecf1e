package app

import (
	"context"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
)

// Whom the demo's events are about: so many people, and of a new folder so many events of the weeks before, for pages to
// show.
const (
	demoPeople = 2000
	demoPast   = 6000
)

// crowd gives what makes a connection's events of a demo. In a folder that goes on nothing is said of the past: it was.
func (cmd Demo) crowd(c *event.Catalogue, seed uint64, fresh bool) func(connection int) appender {
	return func(connection int) appender {
		past := 0
		if fresh && connection == 0 {
			past = demoPast
		}
		return sample.NewCrowd(c, seed+uint64(connection), demoPeople, past)
	}
}

// demoSegments are what a new demo has, made as a script would.
var demoSegments = []client.SegmentEdit{
	{Name: new("Active in Brazil"), Description: new("Lives in Brazil and was in an app within the last 7 days."), Tags: &[]string{"brazil", "active"}, Analytics: new(true),
		Filter: &client.Filter{All: []client.Filter{
			{Attribute: &client.FilterCondition{Name: "country", OneOf: []string{"BR"}}},
			{Attribute: &client.FilterCondition{Name: "last_session", After: "-7d"}}}}},
	{Name: new("Put in the cart, did not buy"), Description: new("Left something in the cart within 30 days, and has never bought anything."), Tags: &[]string{"win back"}, Analytics: new(true),
		Filter: &client.Filter{All: []client.Filter{
			{Event: &client.FilterDeeds{Name: "added to cart", LastAfter: "-30d"}},
			{Not: &client.Filter{Attribute: &client.FilterCondition{Name: "purchases", AtLeast: new(1.0)}}}}}},
	{Name: new("Readers who spend"), Description: new("Opened an e-mail within 14 days, and has spent 50 or more, or has the plan team."), Tags: &[]string{"loyal", "e-mail"}, Analytics: new(true),
		Filter: &client.Filter{All: []client.Filter{
			{Message: &client.FilterMessage{Channel: "email", Did: "opened", After: "-14d"}},
			{Any: []client.Filter{
				{Attribute: &client.FilterCondition{Name: "revenue", AtLeast: new(50.0)}},
				{Custom: &client.FilterCondition{Name: "plan", OneOf: []string{"team"}}}}}}}},
}

// furnish makes the segments of a workspace that has none.
func (cmd Demo) furnish(ctx context.Context, sys *system, token string) error {
	if sys.profiles == nil {
		return nil
	}
	api := client.New(sys.URL(), token)
	for _, err := range api.ListSegments(ctx, "demo", client.SegmentFilter{}) {
		return err // or there are some
	}
	for _, s := range demoSegments {
		if _, err := api.CreateSegment(ctx, "demo", s); err != nil {
			return err
		}
	}
	return nil
}
