package client

import (
	"context"
	"iter"
	"strconv"
	"time"
)

// Campaign is a campaign or a Canvas: there is one once an event has named it.
type Campaign struct {
	Versioned
	ID          string    `json:"id" doc:"As events have it."`
	Name        string    `json:"name" doc:"As people call it, or else as the newest event does; its id where neither does."`
	EventName   string    `json:"event_name" doc:"As the newest event calls it; empty: events do not say."`
	Description string    `json:"description"`
	Tags        []string  `json:"tags"`
	Archived    bool      `json:"archived"`
	Channels    []string  `json:"channels" doc:"By which there was anything of it in the last 90 days: email, push, in_app, content_card, sms, whatsapp, line, rcs, banner, webhook."`
	FirstAt     time.Time `json:"first_at" doc:"When the first event was accepted that named it."`
	LastAt      time.Time `json:"last_at" doc:"Likewise the last, to the hour."`
	Sent        int64     `json:"sent_7_days" doc:"Messages of the last 7 days of UTC, today among them: sent, or where messages are shown and not sent, shown."`
}

// CampaignEdit is what is wanted of a campaign or a Canvas; what is nil stays as it is.
type CampaignEdit struct {
	Name        *string   `json:"name,omitempty" doc:"Empty: as events call it."`
	Description *string   `json:"description,omitempty"`
	Tags        *[]string `json:"tags,omitempty"`
	Archived    *bool     `json:"archived,omitempty"`
}

// MessageCounts says how often what happened. All but the unique ones count events: somebody who opens twice counts twice.
type MessageCounts struct {
	Sent         int64   `json:"sent"`
	Delivered    int64   `json:"delivered"`
	Opens        int64   `json:"opens" doc:"By people; of push by a tap. Read messages too."`
	UniqueOpens  int64   `json:"unique_opens" doc:"People, on the day on which they first opened any of its messages."`
	MachineOpens int64   `json:"machine_opens" doc:"By mail programs."`
	Clicks       int64   `json:"clicks"`
	UniqueClicks int64   `json:"unique_clicks" doc:"People, on the day of their first click."`
	BotClicks    int64   `json:"bot_clicks" doc:"That a bot is suspected of; not among clicks."`
	BodyClicks   int64   `json:"body_clicks" doc:"Of push: taps on none of its buttons."`
	FirstButton  int64   `json:"first_button_clicks" doc:"Of in-app messages."`
	SecondButton int64   `json:"second_button_clicks"`
	Impressions  int64   `json:"impressions"`
	Dismissals   int64   `json:"dismissals"`
	Bounces      int64   `json:"bounces"`
	SoftBounces  int64   `json:"soft_bounces"`
	Spam         int64   `json:"reported_spam"`
	Unsubscribes int64   `json:"unsubscribes"`
	OptOuts      int64   `json:"opt_outs" doc:"Answers that end a subscription."`
	Helps        int64   `json:"helps" doc:"Answers that ask for help."`
	Carrier      int64   `json:"sent_to_carrier"`
	Rejected     int64   `json:"rejected"`
	Failed       int64   `json:"failed"`
	Aborted      int64   `json:"aborted"`
	Conversions  []int64 `json:"conversions" doc:"By the first to the fourth behaviour."`
	Entries      int64   `json:"entries" doc:"Of a Canvas."`
	Exits        int64   `json:"exits" doc:"Of a Canvas."`
	Control      int64   `json:"control" doc:"Who came into the control group."`
}

// CampaignDay is a day of a campaign.
type CampaignDay struct {
	Day string `json:"day" doc:"As 2026-11-22, in the workspace's time zone."`
	MessageCounts
}

// CampaignPart is what there was of one channel, variation or step, over the days.
type CampaignPart struct {
	ID   string `json:"id" doc:"Of a channel its name; of a variation or step as events have it."`
	Name string `json:"name" doc:"As the newest event calls it, or else its id."`
	MessageCounts
}

// CampaignDetails is a campaign or a Canvas with what there was of it.
type CampaignDetails struct {
	Campaign
	Days       []CampaignDay  `json:"days" doc:"Each day, the oldest first."`
	Totals     MessageCounts  `json:"totals" doc:"Over these days."`
	ByChannel  []CampaignPart `json:"by_channel"`
	Variations []CampaignPart `json:"variations"`
	Steps      []CampaignPart `json:"steps" doc:"Of a Canvas."`
}

// CampaignFilter chooses campaigns or Canvases. Fields that are empty choose all.
type CampaignFilter struct {
	Search   string // is in name, id or description, whatever the case
	Tag      string
	Archived bool // those that are archived, in place of the others
}

func (f CampaignFilter) query() map[string]string {
	return map[string]string{"q": f.Search, "tag": f.Tag, "archived": flag(f.Archived)}
}

// CampaignDays says of which days statistics are wanted.
type CampaignDays struct {
	Days  int       // so many, 1 to 366; 0: 30
	Until time.Time // the last of them holds it; zero: now
}

func (d CampaignDays) query() map[string]string {
	days := ""
	if d.Days > 0 {
		days = strconv.Itoa(d.Days)
	}
	return map[string]string{"days": days, "until": moment(d.Until)}
}

// ListCampaigns lists a workspace's campaigns, the one with the newest event first.
func (c *Client) ListCampaigns(ctx context.Context, workspace string, f CampaignFilter) iter.Seq2[Campaign, error] {
	return list[Campaign](ctx, c, get(path("/workspaces/%s/campaigns", workspace)).with(f.query()))
}

// GetCampaign gives a campaign with its days.
func (c *Client) GetCampaign(ctx context.Context, workspace, id string, d CampaignDays) (CampaignDetails, error) {
	return ask[CampaignDetails](ctx, c, get(path("/workspaces/%s/campaigns/%s", workspace, id)).with(d.query()))
}

// UpdateCampaign changes what people say of a campaign. Errors: stale, if etag is not empty.
func (c *Client) UpdateCampaign(ctx context.Context, workspace, id string, e CampaignEdit, etag string) (Campaign, error) {
	return ask[Campaign](ctx, c, patch(path("/workspaces/%s/campaigns/%s", workspace, id), e).based(etag))
}

// ListCanvases is ListCampaigns of Canvases.
func (c *Client) ListCanvases(ctx context.Context, workspace string, f CampaignFilter) iter.Seq2[Campaign, error] {
	return list[Campaign](ctx, c, get(path("/workspaces/%s/canvases", workspace)).with(f.query()))
}

// GetCanvas is GetCampaign of a Canvas.
func (c *Client) GetCanvas(ctx context.Context, workspace, id string, d CampaignDays) (CampaignDetails, error) {
	return ask[CampaignDetails](ctx, c, get(path("/workspaces/%s/canvases/%s", workspace, id)).with(d.query()))
}

// UpdateCanvas is UpdateCampaign of a Canvas.
func (c *Client) UpdateCanvas(ctx context.Context, workspace, id string, e CampaignEdit, etag string) (Campaign, error) {
	return ask[Campaign](ctx, c, patch(path("/workspaces/%s/canvases/%s", workspace, id), e).based(etag))
}
